// The CUDA launchers that table.cu lists, one file each; see ../ops/kernels.h for what they compute.
#pragma once
#include "ops/kernels.h"

namespace dpm::cuda {

int normals(const NormalArguments* arguments, void* stream);
int noise_step(const NoiseStepArguments* arguments, void* stream);
int combine(const CombineArguments* arguments, void* stream);
int ratio(const RatioArguments* arguments, void* stream);
int loss(const LossArguments* arguments, void* stream);
int squared_norm(const float* values, std::int64_t size, double* result_on_device, void* stream);
int optimizer(const OptimizerArguments* arguments, void* stream);
int dropout(const DropoutArguments* arguments, void* stream);

}  // namespace dpm::cuda
