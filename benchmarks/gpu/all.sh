#!/bin/sh
# SPDX-License-Identifier: MIT
# Everything that a GPU can say of attune, in one command:  sh benchmarks/gpu/all.sh [PYTHON] [OPTION of run.sh ...]
# Builds the device tests for the GPU that is there, runs them, plainly and under compute-sanitizer (memcheck, racecheck, synccheck, initcheck), and
# measures the table of docs/benchmarks.md. A step that fails does not keep the others from running. Figures: build/gpu/gpu.json. 77: there is no GPU.
set -u
cd "$(dirname "$0")/../.."
nvidia-smi > /dev/null 2>&1 || {
  echo "skipped: there is no GPU" >&2
  exit 77
}
failed=""
step() {
  name=$1
  shift
  echo "== $name"
  "$@" || failed="$failed, $name"
}
sanitizer=OFF
command -v compute-sanitizer > /dev/null && sanitizer=ON
step "configure" cmake --preset cuda -DCMAKE_CUDA_ARCHITECTURES=native -DATTUNE_COMPUTE_SANITIZER=$sanitizer
step "build" cmake --build --preset cuda -j "$(nproc)"
step "tests" ctest --preset cuda
step "measure" sh benchmarks/gpu/run.sh "$@"
[ -z "$failed" ] || {
  echo "failed: ${failed#, }" >&2
  exit 1
}
