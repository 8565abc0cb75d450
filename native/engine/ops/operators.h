// What the kernels of ops/kernels.h compute, made of libtorch's operators one by one: their twins, which the switches bring
// back and the tests hold the kernels to. Slower, and with memory for every intermediate result.
#pragma once
#include <ATen/core/Tensor.h>

#include "ops/kernels.h"

namespace dpm::operators {

void noise_step(const at::Device& device, const NoiseStepArguments& arguments);
void combine(const at::Device& device, const CombineArguments& arguments);
void ratio(const at::Device& device, const RatioArguments& arguments);
void loss(const at::Device& device, const LossArguments& arguments);
void optimizer(const at::Device& device, const OptimizerArguments& arguments);
void dropout(const at::Device& device, const DropoutArguments& arguments);

}  // namespace dpm::operators
