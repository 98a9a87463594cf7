// SPDX-License-Identifier: MIT
// Kernels to which device_code.sh is tried: one as it should be, and mistakes that it has to find.
//
// kernel wide_copy<float>: spills = 0, stack = 0, registers <= 32, vector_loads = 1, scalar_loads = 0, vector_stores = 1, scalar_stores = 0
// kernel wide_copy: spills = 0, vector_loads = 1
// kernel read_only(: vector_loads = 4, scalar_loads = 0
// kernel scalar_copy(: spills = 0, vector_loads = 0, scalar_loads = 8
// not kernel scalar_copy(: vector_loads >= 1
// not kernel spilling(: spills = 0
// not kernel wide_copy<float>: scalar_stores >= 1
// not kernel no_such_kernel: spills = 0

template <class T> struct alignas(16) pack {
  T x[16 / sizeof(T)];
};

template <class T> __global__ void wide_copy(const T* from, T* to) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  reinterpret_cast<pack<T>*>(to)[i] = reinterpret_cast<const pack<T>*>(from)[i];
}
template __global__ void wide_copy<float>(const float*, float*);
template __global__ void wide_copy<double>(const double*, double*);

__global__ void read_only(const uint4* __restrict__ from, uint4* to) {
  uint4 sum{};
  for (int i = 0; i < 4; ++i) {
    const uint4 x = __ldcs(&from[threadIdx.x + 32 * i]);  // a cache hint comes between the space and the width
    sum.x += x.x, sum.y += x.y, sum.z += x.z, sum.w += x.w;
  }
  to[threadIdx.x] = sum;
}

__global__ void scalar_copy(const float* from, float* to) {
#pragma unroll
  for (int i = 0; i < 8; ++i) to[threadIdx.x + 32 * i] = from[threadIdx.x + 32 * i];
}

// More live values than 32 registers hold.
__global__ void __launch_bounds__(1024, 2) spilling(const float* from, float* to) {
  float x[96];
#pragma unroll
  for (int i = 0; i < 96; ++i) x[i] = from[threadIdx.x + 1024 * i];
#pragma unroll
  for (int i = 0; i < 96; ++i) to[threadIdx.x + 1024 * i] = x[95 - i] * x[i] + x[(i * 7) % 96];
}
