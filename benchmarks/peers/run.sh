#!/bin/sh
# SPDX-License-Identifier: MIT
# attune beside PyTorch, Eigen and xtensor:  sh benchmarks/peers/run.sh [PYTHON] [--write] [OPTION ...]
# PYTHON has torch 1.13 or later (default: /usr/bin/python3, with Debian's python3-torch). --write puts the table into docs/benchmarks.md.
# Other options are compare.py's: --quick for a first look, --filter=REGEX, --mib=N, --rounds=N, --ungated, ... Figures are kept in
# build/peers-bench/peers.json. Takes half an hour or more; leave the machine alone meanwhile. 77: it cannot be run here.
set -eu
cd "$(dirname "$0")/../.."
build=build/peers-bench
compiler=${CXX:-g++}
flags="-std=c++20 -O2"  # no -march: attune chooses its instructions when it runs

skip() {
  echo "skipped: $*" >&2
  exit 77
}
python=/usr/bin/python3
case ${1-} in
  "" | -*) ;;
  *)
    python=$1
    shift
    ;;
esac
command -v "$python" > /dev/null || skip "there is no $python"
command -v "$compiler" > /dev/null || skip "there is no $compiler"
"$python" -c "import torch" 2> /dev/null || skip "$python has no torch (Debian: python3-torch; or pip install torch in an environment)"

mkdir -p "$build"
shared="-fPIC -shared -pthread -fvisibility=hidden"
# shellcheck disable=SC2086 # lists of flags
"$compiler" $flags $shared -Wall -Wextra -I include benchmarks/peers/attune_c.cpp -o "$build/libattune_c.so"

# Row expressions of Eigen and xtensor, if these are installed, with the flags that suit them best.
includes=
# shellcheck disable=SC2086 # a list of options
found() { echo "#include <$1>" | "$compiler" -std=c++20 $includes -E -x c++ - > /dev/null 2>&1; }
defines=
for folder in /usr/include/eigen3 /usr/local/include/eigen3; do
  [ ! -d "$folder" ] || includes="$includes -isystem $folder"
done
! found Eigen/Core || defines="$defines -DPEERS_EIGEN"
! found xtensor/xadapt.hpp || defines="$defines -DPEERS_XTENSOR"
! found xsimd/xsimd.hpp || defines="$defines -DXTENSOR_USE_XSIMD"
native="-std=c++20 -O3"
! echo 'int x;' | "$compiler" -march=native -x c++ -c - -o /dev/null 2> /dev/null || native="$native -march=native"
peers=
if [ -n "$defines" ]; then
  # shellcheck disable=SC2086
  "$compiler" $native $shared $includes $defines benchmarks/peers/expressions.cpp -o "$build/libexpressions.so"
  peers="--expressions=$build/libexpressions.so"
fi

page=
for option; do
  shift
  case $option in
    --write) page=--page=docs/benchmarks.md ;;
    --quick) set -- "$@" --mib=64 --rounds=3 --classes=32000 ;;
    *) set -- "$@" "$option" ;;
  esac
done
# shellcheck disable=SC2086
exec "$python" benchmarks/peers/compare.py --library="$build/libattune_c.so" $peers --flags="$flags" --expression-flags="$native" \
  --json="$build/peers.json" $page "$@"
