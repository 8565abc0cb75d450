// The one exported symbol of libdpm_cuda.so.
#include <cuda_runtime_api.h>

#include "cuda/cuda_kernels.h"
#include "cuda/launchers.h"

namespace dpm::cuda {
namespace {

const char* describe(int error) { return cudaGetErrorString(static_cast<cudaError_t>(error)); }

constexpr CudaKernels kTable{cuda_layout(), normals, noise_step, combine, ratio, loss, squared_norm, optimizer, dropout, describe};

}  // namespace
}  // namespace dpm::cuda

extern "C" __attribute__((visibility("default"))) const dpm::CudaKernels* dpm_cuda_kernels() { return &dpm::cuda::kTable; }
