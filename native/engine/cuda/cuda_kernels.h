// What libdpm_cuda.so offers to the core. Plain C++ without libtorch's headers, because nvcc reads it too.
#pragma once
#include <cstddef>
#include <initializer_list>

#include "ops/kernels.h"

namespace dpm {

// Launchers for the argument blocks of ops/kernels.h; which of their pointers are the host's is said there. Work is queued
// on `stream`, a cudaStream_t of the current device; only `loss` waits for it. Each returns a cudaError_t, 0 for none.
struct CudaKernels {
  std::int64_t layout;  // cuda_layout() as the library saw it
  int (*normals)(const NormalArguments*, void* stream);
  int (*noise_step)(const NoiseStepArguments*, void* stream);
  int (*combine)(const CombineArguments*, void* stream);
  int (*ratio)(const RatioArguments*, void* stream);
  int (*loss)(const LossArguments*, void* stream);
  // The sum of squares, into one double of the device; the same bits at every call.
  int (*squared_norm)(const float* values, std::int64_t size, double* result_on_device, void* stream);
  int (*optimizer)(const OptimizerArguments*, void* stream);
  int (*dropout)(const DropoutArguments*, void* stream);
  const char* (*describe)(int error);
};

// A number that changes when an argument block grows or shrinks: a library of another build is refused, not misread.
constexpr std::int64_t cuda_layout() {
  std::int64_t layout = 1;
  for (const std::size_t size : {sizeof(CudaKernels), sizeof(NormalArguments), sizeof(NoiseStepArguments), sizeof(CombineArguments),
                                 sizeof(RatioArguments), sizeof(LossArguments), sizeof(OptimizerArguments), sizeof(DropoutArguments)}) {
    layout = (layout * 1009 + static_cast<std::int64_t>(size)) % 0xFFFFFFFB;
  }
  return layout;
}

}  // namespace dpm
