#!/bin/sh
# SPDX-License-Identifier: MIT
# attune on a GPU beside PyTorch and, where it is installed, Liger:  sh benchmarks/gpu/run.sh [PYTHON] [OPTION ...]
# PYTHON has torch with CUDA (default: python3). Options are measure.py's: --filter=REGEX, --rounds=N, --quick, --json=FILE, --chart=FILE.
# Figures go to build/gpu/gpu.json. Some minutes; leave the device alone meanwhile. 77: it cannot be run here.
set -eu
cd "$(dirname "$0")/../.."
build=build/gpu
skip() {
  echo "skipped: $*" >&2
  exit 77
}
python=python3
case ${1-} in
  "" | -*) ;;
  *)
    python=$1
    shift
    ;;
esac
nvcc=${NVCC:-nvcc}
command -v "$nvcc" > /dev/null || skip "there is no $nvcc"
"$python" -c "import torch; assert torch.cuda.is_available()" 2> /dev/null || skip "$python has no torch that sees a GPU"
arch=$("$python" -c "import torch; print('sm_%d%d' % torch.cuda.get_device_capability())")
flags="-std=c++20 -O3 -arch=$arch"
mkdir -p "$build"
# shellcheck disable=SC2086 # a list of flags
"$nvcc" $flags -Xcompiler=-fPIC -shared -I include benchmarks/gpu/attune_gpu.cu -o "$build/libattune_gpu.so" -lcublas
exec "$python" benchmarks/gpu/measure.py --library="$build/libattune_gpu.so" --flags="$flags" --json="$build/gpu.json" "$@"
