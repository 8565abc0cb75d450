// Sends a kernel's argument block to the device that its memory is on.
#pragma once
#include <ATen/core/Tensor.h>

#include "ops/kernels.h"

namespace dpm {

// Each: CPU launcher, or CUDA launcher on libtorch's current stream of the device. Throws DPM_DEVICE_UNAVAILABLE where the
// CUDA kernels are not installed, DPM_OUT_OF_MEMORY and DPM_NATIVE for what CUDA reports.
void launch_normals(const at::Device& device, const NormalArguments& arguments);
void launch_noise_step(const at::Device& device, const NoiseStepArguments& arguments);
void launch_combine(const at::Device& device, const CombineArguments& arguments);
void launch_ratio(const at::Device& device, const RatioArguments& arguments);
void launch_loss(const at::Device& device, const LossArguments& arguments);
double launch_squared_norm(const at::Tensor& flat);
void launch_optimizer(const at::Device& device, const OptimizerArguments& arguments);
void launch_dropout(const at::Device& device, const DropoutArguments& arguments);

}  // namespace dpm
