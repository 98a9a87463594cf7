#!/bin/sh
# SPDX-License-Identifier: MIT
# From a clone to an aligned language model: installs what is missing (a C++ compiler and two header packages), builds examples/align with
# one compiler call a source (no CMake), trains it on a synthetic preference task, and ends with a table and a picture.
# Options are passed on to the program:  sh examples/demo.sh --objective simpo        CXX chooses the compiler.
set -eu
cd "$(dirname "$0")/.."
: "${CXX:=g++}"
build=${ATTUNE_DEMO_BUILD:-$PWD/build/demo}

# The model's loops are in trainer.cpp: that file is optimised for this machine; the others would only take longer to compile. All are
# compiled for the same machine, since inline code that they share depends on it.
compile() { # source
  case $1 in align/trainer.cpp) level=-O3 ;; *) level=-O1 ;; esac
  "$CXX" -std=c++20 $level -march=native -DATTUNE_NO_DISPATCH -pthread -Iinclude -Iexamples -c "examples/$1" -o "$build/$(echo "${1%.cpp}" | tr / _).o"
}
if [ "${1:-}" = --compile ]; then # this script calls itself, to compile in parallel
  compile "$2"
  exit
fi

has_compiler() { command -v "$CXX" > /dev/null 2>&1; }
has_header() { echo "#include <$1>" | "$CXX" -std=c++20 -E -x c++ - > /dev/null 2>&1; }

# What is missing, as names of Debian packages. Whether headers are there, only a compiler can tell.
missing() {
  if has_compiler; then
    has_header CLI/CLI.hpp || echo libcli11-dev
    has_header nlohmann/json.hpp || echo nlohmann-json3-dev
  else
    echo g++
    [ -e /usr/include/CLI/CLI.hpp ] || echo libcli11-dev
    [ -e /usr/include/nlohmann/json.hpp ] || echo nlohmann-json3-dev
  fi
}

install() {
  echo "needed, and not installed: $*"
  if ! command -v apt-get > /dev/null 2>&1; then
    echo "this system has no apt: please install a C++20 compiler, CLI11 and nlohmann-json (Debian's names are above), then run this again" >&2
    exit 1
  fi
  sudo=
  if [ "$(id -u)" != 0 ]; then
    sudo=sudo
    if [ "${CI:-}" != true ]; then
      printf 'install with sudo apt-get? [y/N] '
      read -r answer || answer=
      case $answer in [yY]*) ;; *) exit 1 ;; esac
    fi
  fi
  $sudo apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" > /dev/null
}

packages=$(missing)
# shellcheck disable=SC2086  # a list
[ -z "$packages" ] || install $packages
if ! has_compiler; then
  echo "$CXX is not a compiler on this system" >&2
  exit 1
fi

mkdir -p "$build"
if [ ! -e "$build/align" ] || [ -n "$(find include examples/align examples/held examples/demo.sh -newer "$build/align" -type f)" ]; then
  started=$(date +%s)
  echo "building examples/align with $CXX ..."
  rm -f "$build"/*.o
  # Sources that take longest first.
  slow="held/pairs.cpp held/others.cpp align/trainer.cpp align/policy_objective.cpp align/options.cpp align/main.cpp"
  { printf '%s\n' $slow; (cd examples && printf '%s\n' held/*.cpp align/*.cpp) | grep -v -x -F "$(printf '%s\n' $slow)"; } |
    CXX=$CXX xargs -n 1 -P "$(nproc 2> /dev/null || echo 1)" sh examples/demo.sh --compile
  "$CXX" -pthread "$build"/*.o -o "$build/align"
  echo "built in $(($(date +%s) - started)) s"
fi
exec "$build/align" --out "$build/out" "$@"
