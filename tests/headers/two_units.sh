# SPDX-License-Identifier: MIT
# two_units.sh <include>: two units that include every host header link into one program, so nothing is defined that is not inline.
. "$(dirname "$0")/common.sh"
host_headers | sed 's|.*|#include <attune/&>|' >"$scratch/first.cpp"
cp "$scratch/first.cpp" "$scratch/second.cpp"
echo 'int main() {}' >>"$scratch/second.cpp"
"$CXX" $strict -I"$include" "$scratch/first.cpp" "$scratch/second.cpp" -pthread -o "$scratch/program"
"$scratch/program"
