// Loss and its gradient: a block per example, which sums in float64.
#include "cuda/block_sum.cuh"
#include "cuda/launchers.h"
#include "ops/loss_body.h"

namespace dpm::cuda {
namespace {

__global__ void loss_kernel(LossArguments a) {
  const std::int64_t n = blockIdx.x;
  const float* const output = a.output + n * a.size;
  const float* const target = a.target + n * a.size;
  float* const gradient = a.gradient + n * a.size;
  const float factor = loss_factor(a, n);
  double partial = 0;
  for (std::int64_t i = threadIdx.x; i < a.size; i += kThreads) {
    const LossElement element = loss_element(a.kind, a.scale, factor, output[i] - target[i]);
    partial += element.loss;
    gradient[i] = element.gradient;
  }
  const double sum = block_sum(partial);
  if (threadIdx.x != 0) return;
  const double mean = sum / static_cast<double>(a.size);
  a.losses[n] = mean;
  // As on the CPU: the bounded gradients of l1 and huber would hide it.
  if (!isfinite(mean)) gradient[0] = static_cast<float>(mean);
}

}  // namespace

int loss(const LossArguments* arguments, void* stream) {
  if (arguments->count == 0 || arguments->size == 0) {
    for (std::int64_t n = 0; n < arguments->count; ++n) arguments->losses[n] = 0.0 / 0.0;  // the mean of nothing
    return cudaSuccess;
  }
  LossArguments a = *arguments;
  Scratch scratch(stream);
  a.rows = scratch.copy(a.rows, a.count);
  a.losses = scratch.take<double>(a.count);
  if (scratch.error() != cudaSuccess) return scratch.error();
  loss_kernel<<<static_cast<unsigned>(a.count), kThreads, 0, scratch.stream()>>>(a);
  cudaError_t error = cudaGetLastError();
  if (error == cudaSuccess) {
    const auto bytes = static_cast<std::size_t>(a.count) * sizeof(double);
    error = cudaMemcpyAsync(arguments->losses, a.losses, bytes, cudaMemcpyDeviceToHost, scratch.stream());
  }
  if (error == cudaSuccess) error = cudaStreamSynchronize(scratch.stream());
  return error;
}

}  // namespace dpm::cuda
