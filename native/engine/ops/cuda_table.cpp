#include "error.h"
#include "ops/launch.h"

namespace dpm {

namespace {
const CudaKernels* table = nullptr;
}

void install_cuda_kernels(const CudaKernels* kernels) { table = kernels; }

const CudaKernels& cuda_kernels() {
  DPM_CHECK(table, "DPM_DEVICE_UNAVAILABLE",
            "The CUDA kernels (libdpm_cuda.so) were not found beside the addon. Build where nvcc is, or install a package that has them.");
  return *table;
}

}  // namespace dpm
