// Normals and the noise step: a thread per counter block, four elements of one example.
#include "cuda/launchers.h"
#include "cuda/launching.cuh"
#include "ops/noise_body.h"

namespace dpm::cuda {
namespace {

__global__ void normals_kernel(NormalArguments a, std::int64_t blocks) {
  for (std::int64_t n = blockIdx.y; n < a.count; n += gridDim.y) {
    for (std::int64_t block = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; block < blocks; block += std::int64_t{gridDim.x} * blockDim.x) {
      normal_block(a, n, block);
    }
  }
}

__global__ void noise_step_kernel(NoiseStepArguments a, std::int64_t blocks) {
  for (std::int64_t n = blockIdx.y; n < a.count; n += gridDim.y) {
    for (std::int64_t block = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; block < blocks; block += std::int64_t{gridDim.x} * blockDim.x) {
      noise_step_block(a, n, block);
    }
  }
}

}  // namespace

int normals(const NormalArguments* arguments, void* stream) {
  NormalArguments a = *arguments;
  const std::int64_t blocks = ceiling(a.channels * a.spatial, 4);
  if (a.count == 0 || blocks == 0) return cudaSuccess;
  Scratch scratch(stream);
  a.examples = scratch.copy(a.examples, a.count);
  if (scratch.error() != cudaSuccess) return scratch.error();
  normals_kernel<<<grid_of(blocks, a.count), kThreads, 0, scratch.stream()>>>(a, blocks);
  return cudaGetLastError();
}

int noise_step(const NoiseStepArguments* arguments, void* stream) {
  NoiseStepArguments a = *arguments;
  const std::int64_t blocks = ceiling(a.channels * a.spatial, 4);
  if (a.count == 0 || blocks == 0) return cudaSuccess;
  Scratch scratch(stream);
  a.rows = scratch.copy(a.rows, a.count);
  a.examples = scratch.copy(a.examples, a.count);
  a.epochs = scratch.copy(a.epochs, a.count);
  if (scratch.error() != cudaSuccess) return scratch.error();
  noise_step_kernel<<<grid_of(blocks, a.count), kThreads, 0, scratch.stream()>>>(a, blocks);
  return cudaGetLastError();
}

}  // namespace dpm::cuda
