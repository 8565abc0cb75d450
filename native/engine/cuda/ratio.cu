// The ratio of two registers' norms or deviations: a block per sample, which sums in float64.
#include "cuda/block_sum.cuh"
#include "cuda/launchers.h"
#include "ops/ratio_body.h"

namespace dpm::cuda {
namespace {

// The block's sum of (value - centre)^power, known to every thread.
template <int power>
__device__ double sum_of(const float* values, std::int64_t size, double centre) {
  double partial = 0;
  for (std::int64_t i = threadIdx.x; i < size; i += kThreads) {
    const double difference = static_cast<double>(values[i]) - centre;
    partial += power == 1 ? difference : difference * difference;
  }
  __shared__ double total;
  const double sum = block_sum(partial);
  if (threadIdx.x == 0) total = sum;
  __syncthreads();
  const double result = total;
  __syncthreads();  // the next sum may overwrite it
  return result;
}

__device__ double measure_sample(const float* values, std::int64_t size, Measure measure) {
  const double centre = measure == Measure::norm ? 0 : sum_of<1>(values, size, 0) / static_cast<double>(size);
  return measure_of(measure, sum_of<2>(values, size, centre), size);
}

__global__ void ratio_kernel(RatioArguments a) {
  const std::int64_t at = std::int64_t{blockIdx.x} * a.size;
  const double above = measure_sample(a.a + at, a.size, a.measure);
  const double below = measure_sample(a.b + at, a.size, a.measure);
  const float value = ratio_of(a, above, below);
  for (std::int64_t i = threadIdx.x; i < a.size; i += kThreads) a.out[at + i] = value;
}

}  // namespace

int ratio(const RatioArguments* arguments, void* stream) {
  if (arguments->count == 0 || arguments->size == 0) return cudaSuccess;
  ratio_kernel<<<static_cast<unsigned>(arguments->count), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(*arguments);
  return cudaGetLastError();
}

}  // namespace dpm::cuda
