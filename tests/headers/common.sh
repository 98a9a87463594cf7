# SPDX-License-Identifier: MIT
# Read by the checks of this folder. They take the folder that contains attune/ as first argument, the compiler in CXX, and leave no files.
set -eu
: "${CXX:=c++}"
include=$1
strict="-std=c++20 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT INT TERM

# The headers of the host library, relative to attune/, sorted: all but the umbrella itself and those that need a foreign library.
host_headers() { (cd "$include/attune" && find . -name '*.hpp' | sed 's|^\./||' | grep -v -e '^backend/' -e '^attune\.hpp$' | LC_ALL=C sort); }

fail() {
  echo "$*" >&2
  exit 1
}
