// Dropout: a thread per counter block, four elements of one example.
#include "cuda/launchers.h"
#include "cuda/launching.cuh"
#include "ops/dropout_body.h"

namespace dpm::cuda {
namespace {

__global__ void dropout_kernel(DropoutArguments a, std::int64_t blocks) {
  const float factor = dropout_factor(a);
  for (std::int64_t n = blockIdx.y; n < a.count; n += gridDim.y) {
    const std::uint32_t example = counter_of(a.examples[n]), epoch = counter_of(a.epochs[n]);
    for (std::int64_t block = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; block < blocks; block += std::int64_t{gridDim.x} * blockDim.x) {
      float kept[4];
      dropout_block(a, example, epoch, block, factor, kept);
      for (int lane = 0; lane < 4; ++lane) {
        const std::int64_t i = block * 4 + lane;
        if (i < a.size) a.out[n * a.size + i] = a.in[n * a.size + i] * kept[lane];
      }
    }
  }
}

}  // namespace

int dropout(const DropoutArguments* arguments, void* stream) {
  DropoutArguments a = *arguments;
  const std::int64_t blocks = ceiling(a.size, 4);
  if (a.count == 0 || blocks == 0) return cudaSuccess;
  Scratch scratch(stream);
  a.examples = scratch.copy(a.examples, a.count);
  a.epochs = scratch.copy(a.epochs, a.count);
  if (scratch.error() != cudaSuccess) return scratch.error();
  dropout_kernel<<<grid_of(blocks, a.count), kThreads, 0, scratch.stream()>>>(a, blocks);
  return cudaGetLastError();
}

}  // namespace dpm::cuda
