// A weighted sum of registers in one pass: as many reads as there are terms, one write.
#include "cuda/launchers.h"
#include "cuda/launching.cuh"
#include "ops/combine_body.h"

namespace dpm::cuda {
namespace {

__global__ void combine_kernel(CombineArguments a) {
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < a.size; i += std::int64_t{gridDim.x} * blockDim.x) {
    a.out[i] = combine_element(a, i);
  }
}

}  // namespace

int combine(const CombineArguments* arguments, void* stream) {
  if (arguments->size == 0) return cudaSuccess;
  combine_kernel<<<grid_of(arguments->size, 1), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(*arguments);
  return cudaGetLastError();
}

}  // namespace dpm::cuda
