# SPDX-License-Identifier: MIT
# macros.sh <include>: including attune.hpp defines no macro but ATTUNE_*, beyond those of the standard headers that it includes.
. "$(dirname "$0")/common.sh"
grep -rhoE '^ *# *include *<[^>]+>' "$include/attune" --include='*.hpp' --exclude-dir=backend | grep -v '<attune/' >"$scratch/standard.cpp"
echo '#include <attune/attune.hpp>' >"$scratch/attune.cpp"
macros() { "$CXX" -std=c++20 -I"$include" -dM -E "$1" | awk '{ sub(/\(.*/, "", $2); print $2 }' | LC_ALL=C sort -u; }
macros "$scratch/standard.cpp" >"$scratch/standard"
macros "$scratch/attune.cpp" >"$scratch/attune"
leaked=$(LC_ALL=C comm -13 "$scratch/standard" "$scratch/attune" | grep -v '^ATTUNE_' || true)
[ -z "$leaked" ] || fail "attune.hpp defines macros that do not begin with ATTUNE_:
$leaked"
