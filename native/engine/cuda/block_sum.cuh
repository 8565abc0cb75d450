// A sum over the threads of a block, in an order that depends on nothing but kThreads: the same bits at every call.
#pragma once
#include "cuda/launching.cuh"

namespace dpm::cuda {

// Call from all kThreads threads; the sum is thread 0's alone. Waits for the whole block, so writes to global memory
// before it are seen by thread 0 after it.
__device__ inline double block_sum(double value) {
  __shared__ double sums[kThreads];
  sums[threadIdx.x] = value;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    __syncthreads();
  }
  return sums[0];
}

}  // namespace dpm::cuda
