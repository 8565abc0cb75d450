// The core links no CUDA, so that one core serves machines with and without. Its CUDA kernels are a second library in the
// same folder. That library names no CUDA runtime either: it finds the one that libtorch brought, whatever its file is
// called, because the entry has opened libtorch with global symbols. So a process has one runtime.
#include "cuda/open_cuda_kernels.h"

#include <dlfcn.h>

#include <string>

#include "error.h"

namespace dpm {
namespace {

constexpr const char* kLibrary = "libdpm_cuda.so";
constexpr const char* kCure =
    " Install a package of dpm-torch that brings it, or build it with `node scripts/build-cuda.mjs`; `device: 'cpu'` works without.";

std::string last_dynamic_error() {
  const char* text = dlerror();
  return text ? text : "no reason given";
}

std::string folder_of_core() {
  Dl_info core{};
  DPM_CHECK(dladdr(reinterpret_cast<const void*>(&cuda_kernels), &core) != 0 && core.dli_fname, "DPM_INTERNAL",
            "The core does not know where it lies.");
  const std::string path(core.dli_fname);
  return path.substr(0, path.rfind('/') + 1);
}

// Never closed: kernels are registered with the CUDA runtime for the life of the process.
const CudaKernels* open_library() {
  const std::string path = folder_of_core() + kLibrary;
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  DPM_CHECK(library, "DPM_DEVICE_UNAVAILABLE", "The CUDA kernels of dpm-torch do not load: " + last_dynamic_error() + "." + kCure);
  const auto kernels_of = reinterpret_cast<const CudaKernels* (*)()>(dlsym(library, "dpm_cuda_kernels"));
  DPM_CHECK(kernels_of, "DPM_DEVICE_UNAVAILABLE", path + " holds no CUDA kernels of dpm-torch: " + last_dynamic_error() + "." + kCure);
  const CudaKernels* const kernels = kernels_of();
  DPM_CHECK(kernels->layout == cuda_layout(), "DPM_DEVICE_UNAVAILABLE",
            path + " was built from another version of dpm-torch than the core beside it." + kCure);
  return kernels;
}

}  // namespace

const CudaKernels& cuda_kernels() {
  // A failure is tried again at the next use; success stays.
  static const CudaKernels* const kernels = open_library();
  return *kernels;
}

}  // namespace dpm
