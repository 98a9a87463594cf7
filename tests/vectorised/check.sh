#!/bin/sh
# SPDX-License-Identifier: MIT
# check.sh COMPILER INCLUDE SOURCE: the hot loops are vector instructions, at -O2 and -O3, for every instruction set. Each known way to lose
# that compiles without a warning and gives right results, only 5 to 50 times slower.
#   Counted in the object code, function by function: packed arithmetic in registers of the set's width, and calls (of a function that was
#   not inlined, or of the standard library's exp), of which there may be none.
set -eu
compiler=$1; include=$2; source=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# look OBJECT: prints "packed calls set kernel" for every kernel
look() {
  objdump -dC --no-show-raw-insn "$1" | awk '
    /^[0-9a-f]+ <.*>:$/ {
      if (name != "") print packed, calls, name
      name = ""; packed = calls = 0
      if (match($0, /run_(compiled|avx2|avx512)</)) {
        set = substr($0, RSTART + 4, RLENGTH - 5); kernel = $0
        if (match(kernel, /(block_[a-z_]+|run_samples|run_tokens|soft_kernel|correction_kernel)/)) name = set " " substr(kernel, RSTART, RLENGTH)
      }
      width = set == "avx512" ? "%zmm" : set == "avx2" ? "%ymm" : "%xmm"
      next
    }
    name != "" {
      if ($2 ~ /^v?(fn?m(add|sub)|mul|add|sub|max)[0-9a-z]*ps$/ && index($0, width)) ++packed
      if ($2 ~ /^call/) ++calls
    }
    END { if (name != "") print packed, calls, name }'
}

# check LEVEL
check() {
  level=$1
  "$compiler" -std=c++20 "-$level" -I "$include" -c "$source" -o "$work/loops.o"
  look "$work/loops.o" > "$work/loops"
  for set in compiled avx2 avx512; do
    for kernel in block_exp_sum block_exp block_max block_pair_sum block_difference block_divergence run_samples run_tokens soft_kernel correction_kernel; do
      grep -q " $set $kernel\$" "$work/loops" || { echo "-$level: there is no $kernel for $set"; return 1; }
    done
  done
  # block_max has 8 comparisons and no other arithmetic; soft_kernel and correction_kernel a few operations. block_planted must be noticed.
  awk -v level="$level" '
    { least = $4 == "block_max" || $4 == "soft_kernel" || $4 == "correction_kernel" || $4 == "block_softcap_slope" ? 2 : 15
      allowed = $4 == "soft_kernel" || $4 == "correction_kernel" ? 4 : 0   # elements of a tensor with strides, and NaN, out of line
      scalar = $1 < least || $2 > allowed
      if ($4 == "block_planted") noticed += scalar
      else if (scalar) { print "-" level ": " $4 " for " $3 " has " $1 " packed operations (expected " least ") and " $2 " calls"; bad = 1 } }
    END {
      if (noticed != 3) { print "-" level ": a scalar loop was noticed for " noticed + 0 " of 3 sets"; bad = 1 }
      exit bad
    }' "$work/loops"
}

check O2
check O3
echo "every hot loop is vector code: $(grep -vc block_planted "$work/loops") kernels"
