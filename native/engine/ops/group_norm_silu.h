// silu(groupnorm(x + offset) * (1 + scale) + shift) in two passes over x instead of five, and its gradient in two.
//
// x and y are channels-last: N × S rows of C. offset, scale and shift are N×C or null. Nothing but x and the statistics is
// kept for the way back; what the norm gave is computed again. Number: float, or c10::BFloat16, which is computed in float32.
// Pieces of an example (whole groups) are shared among the threads; the numbers depend neither on how many nor on the batch.
#pragma once
#include <cstdint>

namespace dpm {

template <typename Number>
struct GroupNormSilu {
  const Number* x;
  const float* weight;  // C
  const float* bias;    // C
  const float* offset;
  const float* scale;
  const float* shift;
  float* means;    // N×groups
  float* inverse;  // N×groups: 1 / sqrt(variance + epsilon)
  float* sums;     // N×C: sum of x + offset over positions
  std::int64_t count, positions, channels, groups;
  double epsilon;
};

template <typename Number>
struct GroupNormSiluGradient {
  const Number* out;  // by y
  Number* x;          // N×S×C
  float* weight;      // N×C: to be summed over N
  float* bias;        // N×C
  float* offset;      // N×C or null
  float* scale;       // N×C or null; the gradient by shift is `bias` without the factor, in `shift`
  float* shift;       // N×C or null
};

namespace cpu {
template <typename Number>
void group_norm_silu(const GroupNormSilu<Number>& arguments, Number* y);
template <typename Number>
void group_norm_silu_backward(const GroupNormSilu<Number>& arguments, const GroupNormSiluGradient<Number>& gradient);
}  // namespace cpu

}  // namespace dpm
