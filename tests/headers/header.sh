# SPDX-License-Identifier: MIT
# header.sh <include> <header> [compiler flag...]: the header compiles alone, twice in one unit, without a warning, and after macros that
# other headers define (the backends excepted: what they include does not survive those).
. "$(dirname "$0")/common.sh"
header=$2
shift 2
case $header in backend/*) ;; *) cp "$(dirname "$0")/hostile.hpp" "$scratch/unit.cpp" ;; esac
printf '#include <attune/%s>\n#include <attune/%s>\n' "$header" "$header" >>"$scratch/unit.cpp"
"$CXX" $strict "$@" -I"$include" -fsyntax-only "$scratch/unit.cpp"
