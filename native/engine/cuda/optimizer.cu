// The update: the gradient's norm in two passes, then clip, Adam, averaging and zeroing in one.
#include "cuda/block_sum.cuh"
#include "cuda/launchers.h"
#include "ops/optimizer_body.h"

namespace dpm::cuda {
namespace {

constexpr std::int64_t kTile = 1 << 13;  // elements per block: a fixed cut, whatever the device

__global__ void tile_sums_kernel(const float* values, std::int64_t size, double* sums) {
  const std::int64_t begin = std::int64_t{blockIdx.x} * kTile;
  const std::int64_t end = begin + kTile < size ? begin + kTile : size;
  double partial = 0;
  for (std::int64_t i = begin + threadIdx.x; i < end; i += kThreads) partial += double{values[i]} * double{values[i]};
  const double sum = block_sum(partial);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

__global__ void total_kernel(const double* sums, std::int64_t tiles, double* result) {
  double partial = 0;
  for (std::int64_t i = threadIdx.x; i < tiles; i += kThreads) partial += sums[i];
  const double sum = block_sum(partial);
  if (threadIdx.x == 0) *result = sum;
}

__global__ void optimizer_kernel(OptimizerArguments a) {
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < a.size; i += std::int64_t{gridDim.x} * blockDim.x) {
    float value = a.values[i], first = a.first[i], second = a.second[i];
    optimizer_element(a, value, a.gradients[i], first, second);
    a.values[i] = value;
    a.first[i] = first;
    a.second[i] = second;
    for (int k = 0; k < a.averages_count; ++k) average_element(1.0f - a.keep[k], value, a.averages[k][i]);
  }
}

}  // namespace

int squared_norm(const float* values, std::int64_t size, double* result_on_device, void* stream) {
  Scratch scratch(stream);
  const std::int64_t tiles = ceiling(size, kTile);
  double* const sums = scratch.take<double>(tiles);
  if (scratch.error() != cudaSuccess) return scratch.error();
  if (tiles > 0) tile_sums_kernel<<<static_cast<unsigned>(tiles), kThreads, 0, scratch.stream()>>>(values, size, sums);
  total_kernel<<<1, kThreads, 0, scratch.stream()>>>(sums, tiles, result_on_device);
  return cudaGetLastError();
}

int optimizer(const OptimizerArguments* arguments, void* stream) {
  if (arguments->size == 0) return cudaSuccess;
  optimizer_kernel<<<grid_of(arguments->size, 1), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(*arguments);
  return cudaGetLastError();
}

}  // namespace dpm::cuda
