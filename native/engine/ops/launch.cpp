#include "ops/launch.h"

#include <ATen/ops/empty.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "cuda/open_cuda_kernels.h"
#include "error.h"
#include "ops/operators.h"
#include "ops/switches.h"
#include "profile.h"

namespace dpm {
namespace {

// CUDA launches on the current device, and every device has a stream of its own. The autograd engine runs backward passes
// on other threads than ours, so nothing may be assumed of either.
class OnDevice {
 public:
  explicit OnDevice(const at::Device& device) : guard_(device) {
    const c10::impl::VirtualGuardImpl implementation(device.type());
    stream_ = implementation.getStreamNativeHandle(implementation.getStream(device));
  }
  void* stream() const { return stream_; }

 private:
  c10::DeviceGuard guard_;
  void* stream_;
};

void check(const CudaKernels& kernels, int error) {
  constexpr int out_of_memory = 2;  // cudaErrorMemoryAllocation
  DPM_CHECK(error == 0, error == out_of_memory ? "DPM_OUT_OF_MEMORY" : "DPM_NATIVE", std::string("CUDA: ") + kernels.describe(error));
}

template <typename Arguments>
void launch(const at::Device& device, const Arguments& arguments, void (*on_cpu)(const Arguments&),
            int (*CudaKernels::*on_cuda)(const Arguments*, void*)) {
  if (device.is_cpu()) return on_cpu(arguments);
  const CudaKernels& kernels = cuda_kernels();
  const OnDevice on_device(device);
  check(kernels, (kernels.*on_cuda)(&arguments, on_device.stream()));
}

}  // namespace

void launch_normals(const at::Device& device, const NormalArguments& a) { launch(device, a, cpu::normals, &CudaKernels::normals); }

void launch_noise_step(const at::Device& device, const NoiseStepArguments& a) {
  static const bool on = switched_on("DPM_TORCH_FUSED_NOISE");
  if (on) return launch(device, a, cpu::noise_step, &CudaKernels::noise_step);
  operators::noise_step(device, a);
}

void launch_combine(const at::Device& device, const CombineArguments& a) {
  static const bool on = switched_on("DPM_TORCH_FUSED_COMBINE");
  if (on) return launch(device, a, cpu::combine, &CudaKernels::combine);
  operators::combine(device, a);
}

void launch_ratio(const at::Device& device, const RatioArguments& a) {
  static const bool on = switched_on("DPM_TORCH_FUSED_RATIO");
  if (on) return launch(device, a, cpu::ratio, &CudaKernels::ratio);
  operators::ratio(device, a);
}

void launch_loss(const at::Device& device, const LossArguments& a) {
  static const bool on = switched_on("DPM_TORCH_FUSED_LOSS");
  if (on) return launch(device, a, cpu::loss, &CudaKernels::loss);
  operators::loss(device, a);
}

void launch_optimizer(const at::Device& device, const OptimizerArguments& a) {
  static const bool on = switched_on("DPM_TORCH_FUSED_OPTIMIZER");
  if (on) return launch(device, a, cpu::optimizer, &CudaKernels::optimizer);
  operators::optimizer(device, a);
}

void launch_dropout(const at::Device& device, const DropoutArguments& a) {
  static const bool on = switched_on("DPM_TORCH_FUSED_DROPOUT");
  if (on) return launch(device, a, cpu::dropout, &CudaKernels::dropout);
  operators::dropout(device, a);
}

double launch_squared_norm(const at::Tensor& flat) {
  const Operation operation("dpm::squared_norm", {flat}, {});
  if (flat.is_cpu()) return cpu::squared_norm(flat.const_data_ptr<float>(), flat.numel());
  const CudaKernels& kernels = cuda_kernels();
  const at::Tensor result = at::empty({1}, flat.options().dtype(at::kDouble));
  const OnDevice on_device(flat.device());
  check(kernels, kernels.squared_norm(flat.const_data_ptr<float>(), flat.numel(), result.mutable_data_ptr<double>(), on_device.stream()));
  return result.item<double>();
}

}  // namespace dpm
