# SPDX-License-Identifier: MIT
# compile_time.sh <include>: prints what including the umbrella costs, beside <cmath> with <vector>. A measurement, not a check.
. "$(dirname "$0")/common.sh"
printf '#include <cmath>\n#include <vector>\n' >"$scratch/standard.cpp"
printf '#include <attune/attune.hpp>\n' >"$scratch/attune.cpp"

# The least processor time of three compilations [ms] in $best; other load hardly disturbs it. The second line of `times`, which must run in
# this shell, is what its children have spent: "0m1.23s 0m0.45s".
milliseconds() {
  best=
  for _ in 1 2 3; do
    times >"$scratch/before"
    "$CXX" -std=c++20 -I"$include" -fsyntax-only "$1"
    times >"$scratch/after"
    took=$(($(spent after) - $(spent before)))
    [ -n "$best" ] && [ "$best" -le "$took" ] || best=$took
  done
}
spent() { sed -n '2{s/[ms]/ /g;p;}' "$scratch/$1" | awk '{ printf "%d", 1000 * (60 * $1 + $2 + 60 * $3 + $4) }'; }

milliseconds "$scratch/attune.cpp"
umbrella=$best
milliseconds "$scratch/standard.cpp"
echo "compile time (processor time, best of 3, -fsyntax-only): attune.hpp $umbrella ms, <cmath> and <vector> $best ms"
