# SPDX-License-Identifier: MIT
# umbrella.sh <include> [--write]: attune.hpp includes every host header once, in alphabetical order; what only devices run (exec/device, exec/cuda) comes with a backend. --write makes it so.
. "$(dirname "$0")/common.sh"
umbrella=$include/attune/attune.hpp
wanted() {
  sed '/^#include/,$d' "$umbrella"
  host_headers | grep -v -e "^exec/device/" -e "^exec/cuda/" | sed 's|.*|#include <attune/&>|'
}
wanted >"$scratch/attune.hpp"
[ "${2-}" != --write ] || cp "$scratch/attune.hpp" "$umbrella"
diff -u "$umbrella" "$scratch/attune.hpp" || fail "attune.hpp is not complete; run: sh tests/headers/umbrella.sh include --write"
