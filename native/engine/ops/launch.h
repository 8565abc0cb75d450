// Sends a kernel's argument block to the device that its memory is on.
#pragma once
#include <ATen/core/Tensor.h>

#include "ops/kernels.h"

namespace dpm {

// What libdpm_cuda.so offers; pointers in the argument blocks are device pointers, except `examples`, `epochs` and `rows`,
// which the launchers copy. Each returns a CUDA error code, 0 for none.
struct CudaKernels {
  int (*normals)(const NormalArguments*, void* stream);
  int (*noise_step)(const NoiseStepArguments*, void* stream);
  int (*combine)(const CombineArguments*, void* stream);
  int (*loss)(const LossArguments*, void* stream);
  int (*squared_norm)(const float* values, std::int64_t size, double* result_on_device, void* stream);
  int (*optimizer)(const OptimizerArguments*, void* stream);
  int (*dropout)(const DropoutArguments*, void* stream);
  const char* (*describe)(int error);
};

// Called once when the library has been opened.
void install_cuda_kernels(const CudaKernels* kernels);
const CudaKernels& cuda_kernels();

// Each: CPU launcher or CUDA launcher on the current stream of the device.
void launch_normals(const at::Device& device, const NormalArguments& arguments);
void launch_noise_step(const at::Device& device, const NoiseStepArguments& arguments);
void launch_combine(const at::Device& device, const CombineArguments& arguments);
void launch_loss(const at::Device& device, const LossArguments& arguments);
double launch_squared_norm(const at::Tensor& flat);
void launch_optimizer(const at::Device& device, const OptimizerArguments& arguments);
void launch_dropout(const at::Device& device, const DropoutArguments& arguments);

}  // namespace dpm
