#!/bin/sh
# SPDX-License-Identifier: MIT
# attune beside TRL's own loss code, on the same inputs:  sh tests/peers/run.sh [FOLDER]
# Makes a Python environment in FOLDER (default: build/peers), installs TRL there at the version below if it is missing (some gigabytes with
# torch's CUDA; PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu takes the small build), builds the programs explore and
# policy (or takes $EXPLORE and $POLICY), compares, and writes docs/peers.md (or $PAGE). About ten minutes. 1: they disagree without a reason; 77: it cannot be run here.
# As a test (--if-asked) it takes the folder from $ATTUNE_PEERS, and is skipped without it.
set -eu
cd "$(dirname "$0")/../.."
trl=1.16.0
torch=2.15.0
page=${PAGE:-docs/peers.md}

skip() {
  echo "skipped: $*" >&2
  exit 77
}
installed() {
  "$python" -c "from importlib.metadata import version
assert version('trl') == '$trl' and version('torch').split('+')[0] == '$torch'
import mpmath" 2> /dev/null
}

folder=${1:-build/peers}
if [ "$folder" = --if-asked ]; then
  folder=${ATTUNE_PEERS:-}
  [ -n "$folder" ] || skip "ATTUNE_PEERS is not set"
fi
python=$folder/bin/python

command -v python3 > /dev/null || skip "there is no python3"
if [ ! -x "$python" ]; then
  python3 -m venv "$folder" || skip "python3 cannot make an environment (Debian: python3-venv)"
fi
if ! installed; then
  "$python" -m pip install --quiet "trl==$trl" "torch==$torch" mpmath || skip "trl $trl and torch $torch could not be installed"
  installed || skip "trl $trl and torch $torch are not what was installed"
fi
# With gmpy2 the right values come ten times faster.
"$python" -c "import gmpy2" 2> /dev/null || "$python" -m pip install --quiet gmpy2 || echo "without gmpy2 this takes an hour"

explore=${EXPLORE:-}
if [ -z "$explore" ]; then
  cmake -S . -B build/peers-explore -DATTUNE_CUDA=OFF -DATTUNE_TESTS=OFF > /dev/null
  cmake --build build/peers-explore --target explore
  explore=build/peers-explore/examples/explore
fi
policy=${POLICY:-}
if [ -z "$policy" ]; then
  policy=$folder/policy
  "${CXX:-c++}" -std=c++20 -O2 -Iinclude tests/peers/policy.cpp -pthread -o "$policy"
fi
exec "$python" tests/peers/compare.py --explore "$explore" --policy "$policy" --page "$page"
