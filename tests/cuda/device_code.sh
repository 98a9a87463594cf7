# SPDX-License-Identifier: MIT
# device_code.sh <file.cu> [nvcc flag...]: what the kernels of a file were compiled to, beside what the file says of them in lines such as
#
#   // kernel row_logp<float: spills = 0, registers <= 64, vector_loads >= 4
#   // not kernel slow_copy: vector_loads >= 1
#
# A name is a part of the kernel's demangled name without ": ", and stands for every kernel that has it, of which there must be one. A line with
# "not" is a planted mistake: it must be found not to hold. The compiler is in NVCC; ARCH is sm_90 if not given, and ONLY, if given, the one demand
# of each line that is looked at: registers differ between architectures.
#   spills         bytes of spill stores and loads              registers      of a thread
#   stack          bytes of local memory                        shared         bytes of static shared memory
#   vector_loads   from global memory, of 16 bytes or more, in the PTX; scalar_loads: all others. vector_stores, scalar_stores likewise
set -eu
: "${NVCC:=nvcc}" "${ARCH:=sm_90}"
source=$1
shift
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT INT TERM
"$NVCC" -std=c++20 -arch="$ARCH" "$@" -ptx "$source" -o "$scratch/code.ptx"
"$NVCC" -arch="$ARCH" -Xptxas -v -cubin "$scratch/code.ptx" -o "$scratch/code.cubin" 2>"$scratch/ptxas" || { cat "$scratch/ptxas" >&2; exit 1; }
sed -n 's|^// \(not \)\{0,1\}kernel |&|p' "$source" >"$scratch/expected"
[ -z "${ONLY-}" ] || sed -i "s|: .*\($ONLY [<>=]* [0-9]*\).*|: \1|" "$scratch/expected"
[ -s "$scratch/expected" ] || { echo "$source says nothing of its kernels" >&2; exit 1; }

c++filt <"$scratch/code.ptx" >"$scratch/readable.ptx"
c++filt <"$scratch/ptxas" >"$scratch/readable.ptxas"
# One line for each number: kernel, tab, what, tab, number.
awk '
  FILENAME ~ /ptxas$/ && /Compiling entry function/ { split($0, quoted, "\047"); kernel = quoted[2]; next }
  FILENAME ~ /ptxas$/ && /Function properties for/ { inside = index($0, kernel) > 0; next }
  FILENAME ~ /ptxas$/ && /bytes spill stores/ {
    spills[kernel] += $5 + $9  # also those of functions that it calls
    if (inside) stack[kernel] = $1
    next
  }
  FILENAME ~ /ptxas$/ && /Used [0-9]+ registers/ {
    for (i = 1; i <= NF; ++i) {
      if ($i == "Used") registers[kernel] = $(i + 1)
      if ($i == "bytes" && $(i + 1) ~ /^smem/) shared[kernel] = $(i - 1)
    }
    next
  }
  FILENAME ~ /ptxas$/ { next }
  / *\.entry / { entry = $0; sub(/.*\.entry /, "", entry); sub(/\(\)?$/, "", entry); seen[entry]; next }
  /^}/ { entry = "" }
  entry == "" { next }
  {
    op = ""  # the first word of the line, or the second after a predicate
    for (i = 1; i <= 2; ++i) if ($i ~ /^(ld|st)\.(volatile\.|relaxed\.[a-z]*\.|weak\.)?global/) op = $i
  }
  op == "" { next }
  {
    width = match(op, /\.v[248]/) ? substr(op, RSTART + 2, 1) : 1
    bits = match(op, /[0-9]+$/) ? substr(op, RSTART) : 32
    ++count[entry, (width * bits >= 128 ? "vector_" : "scalar_") (op ~ /^ld/ ? "loads" : "stores")]
  }
  END {
    split("vector_loads scalar_loads vector_stores scalar_stores", kinds, " ")
    for (kernel in registers) {
      if (kernel in stack) printf "%s\tspills\t%d\n%s\tstack\t%d\n", kernel, spills[kernel], kernel, stack[kernel]
      printf "%s\tregisters\t%d\n%s\tshared\t%d\n", kernel, registers[kernel], kernel, shared[kernel]
      if (!(kernel in seen)) continue  # what was not found is not 0: a demand of it cannot be read
      for (i = 1; i <= 4; ++i) printf "%s\t%s\t%d\n", kernel, kinds[i], count[kernel, kinds[i]]
    }
  }' "$scratch/readable.ptxas" "$scratch/readable.ptx" | LC_ALL=C sort >"$scratch/found"

awk -F '\t' '
  FNR == NR { found[$1, $2] = $3; kernels[$1]; next }
  {
    line = $0
    planted = sub(/^\/\/ not kernel /, "", line)
    if (!planted) sub(/^\/\/ kernel /, "", line)
    at = index(line, ": ")
    name = substr(line, 1, at - 1)
    complaint = at == 0 ? "  cannot be read: " $0 "\n" : ""
    matched = 0
    for (kernel in kernels) {
      if (at == 0 || index(kernel, name) == 0) continue
      ++matched
      n = split(substr(line, at + 2), demands, /, */)
      for (i = 1; i <= n; ++i) {
        if (split(demands[i], d, " ") != 3 || !((kernel, d[1]) in found) || d[2] !~ /^(=|<=|>=)$/) {
          unreadable = unreadable "  of " kernel " cannot be read: " demands[i] "\n"
          continue
        }
        got = found[kernel, d[1]]; want = d[3] + 0
        kept = d[2] == "=" ? got == want : d[2] == "<=" ? got <= want : got >= want
        if (!kept) complaint = complaint "  " kernel ": " d[1] " " got ", expected " d[2] " " want "\n"
      }
    }
    if (at > 0 && matched == 0) complaint = complaint "  no kernel has the name " name "\n"
    if (complaint != "" && !planted) { printf "%s", complaint; bad = 1 }
    if (complaint == "" && planted) { print "  a planted mistake was not found: " $0; bad = 1 }
    if ((complaint == "") != planted) print "holds: " line (planted ? " (planted: it does not)" : "")
  }
  END { if (unreadable != "") { printf "%s", unreadable; bad = 1 } exit bad }' "$scratch/found" "$scratch/expected" || {
  echo "of $source; all that was found:" >&2
  cat "$scratch/found" >&2
  exit 1
}
