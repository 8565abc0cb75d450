// The kernels of libdpm_cuda.so, opened when a CUDA device is first used.
#pragma once
#include "cuda/cuda_kernels.h"

namespace dpm {

// Throws DPM_DEVICE_UNAVAILABLE when the library is not beside the core, does not load, or is of another build.
const CudaKernels& cuda_kernels();

}  // namespace dpm
