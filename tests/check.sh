#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs what is missing (after asking), then configures, builds and runs every test. Works from any folder.
set -eu
cd "$(dirname "$0")/.."

# A tool is there if it is on the PATH; a library if dpkg says so.
missing=""
tool() { command -v "$1" >/dev/null || missing="$missing $2"; }
package() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'ok installed' || missing="$missing $1"; }
tool "${CXX:-c++}" g++
tool cmake cmake
tool make make
optional="catch2 libeigen3-dev libxtensor-dev libthrust-dev libtbb-dev libdlpack-dev libblas-dev nlohmann-json3-dev libcli11-dev pkg-config python3 python3-mpmath"
if command -v dpkg-query >/dev/null; then
  for name in $optional; do package "$name"; done
fi

as_root=""
[ "$(id -u)" = 0 ] || as_root=sudo
apt() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@"; }
if [ -z "$missing" ]; then
  :
elif ! command -v apt-get >/dev/null; then
  echo "There is no apt-get here. Please install:$missing (and, for the tests that use them: $optional)" >&2
  exit 1
else
  if [ -n "$as_root" ] && [ "${CI-}" != true ]; then
    printf 'To be installed with sudo apt-get:%s. Go on? [y/N] ' "$missing"
    read -r answer || answer=n
    case $answer in [yY]*) ;; *) echo "Nothing was installed." >&2; exit 1 ;; esac
  fi
  apt update
  # shellcheck disable=SC2086 # a list of words
  apt install -y --no-install-recommends $missing
fi
command -v dpkg-query >/dev/null || echo "Packages that the tests use where they are found: $optional"

jobs=$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
cmake --preset check
cmake --build --preset check -j "$jobs"
CXX=${CXX:-c++} sh tests/headers/compile_time.sh include
ctest --preset check -j "$jobs"
