// Element bodies of the update: Adam or AdamW (Kingma & Ba, arXiv 1412.6980; Loshchilov & Hutter, arXiv 1711.05101), and
// the exponential average of the values.
#pragma once
#include "ops/kernels.h"

namespace dpm {

// Also zeroes the gradient.
DPM_KERNEL void optimizer_element(const OptimizerArguments& a, float& value, float& gradient, float& first, float& second) {
  const float scaled = gradient * a.gradient_scale + a.decay * value;
  gradient = 0.0f;
  first = a.beta1 * first + (1.0f - a.beta1) * scaled;
  second = a.beta2 * second + (1.0f - a.beta2) * scaled * scaled;
  const float denominator = __builtin_sqrtf(second) * a.second_correction + a.epsilon;
  value = value * a.shrink - a.step_size * first / denominator;
}

DPM_KERNEL void average_element(float rest, float value, float& average) { average += rest * (value - average); }

}  // namespace dpm
