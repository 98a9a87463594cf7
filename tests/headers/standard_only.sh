# SPDX-License-Identifier: MIT
# standard_only.sh <include>: the umbrella opens no file but attune's own, the standard library's and the two POSIX headers of
# exec/policy.hpp; in particular nothing of CUDA, Eigen, xtensor or Thrust.
. "$(dirname "$0")/common.sh"
printf '#include <bits/stdc++.h>\n#include <pthread.h>\n#include <unistd.h>\n' >"$scratch/standard.cpp"
printf '#include <attune/attune.hpp>\n' >"$scratch/attune.cpp"
opened() { "$CXX" -std=c++20 -I"$include" -M "$1" | tr -s ' \\' '\n\n' | grep '^/' | grep -v "^$scratch/" | LC_ALL=C sort -u; }
if ! opened "$scratch/standard.cpp" >"$scratch/standard"; then
  echo "skipped: $CXX has no <bits/stdc++.h> to compare with"
  exit 77
fi
opened "$scratch/attune.cpp" | grep -v "^$include/attune/" >"$scratch/attune" || true
foreign=$(LC_ALL=C comm -13 "$scratch/standard" "$scratch/attune")
[ -z "$foreign" ] || fail "attune.hpp opens files that are not the standard library's:
$foreign"
