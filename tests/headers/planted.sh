# SPDX-License-Identifier: MIT
# planted.sh <include>: each check of this folder rejects a header with the error that it is there to find. The errors are planted in a copy.
. "$(dirname "$0")/common.sh"
checks=$(dirname "$0")

# rejects <check> <words of its message> <header> <text>: the check passes on the copy, and fails with these words once <text> is
# appended to <header>, which may be new.
rejects() {
  rm -rf "$scratch/include"
  cp -r "$include" "$scratch/include"
  [ "$1" = header ] && argument=$3 || argument=""
  [ -e "$scratch/include/attune/$3" ] && before=ok || before=new
  [ "$before" = new ] || sh "$checks/$1.sh" "$scratch/include" $argument >/dev/null 2>&1 || fail "$1 fails without a planted error"
  mkdir -p "$(dirname "$scratch/include/attune/$3")"
  printf '%s\n' "$4" >>"$scratch/include/attune/$3"
  if sh "$checks/$1.sh" "$scratch/include" $argument >"$scratch/output" 2>&1; then fail "$1 accepts: $4"; fi
  grep -q -e "$2" "$scratch/output" || fail "$1 rejects for another reason than '$2': $(cat "$scratch/output")"
}

rejects header "size_t" core/planted.hpp 'inline std::size_t planted = 0;'
rejects header "redefinition" core/planted.hpp 'struct planted {};'
rejects header "macro .I." core/error.hpp 'inline int I = 0;'
rejects header "unused" core/error.hpp 'inline void planted() { int unused; }'
rejects two_units "multiple definition\|duplicate symbol" core/error.hpp 'int planted() { return 0; }'
rejects umbrella "is not complete" core/planted.hpp '#pragma once'
rejects standard_only "not the standard library" core/error.hpp '#include <regex.h>'
rejects macros "PLANTED" core/error.hpp '#define PLANTED 1'
rejects layers "do not point down" core/error.hpp '#include <attune/preference/dpo.hpp>'
rejects layers "is not in the table" planted/planted.hpp '#pragma once'
