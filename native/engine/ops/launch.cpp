#include "ops/launch.h"

#include <ATen/ops/empty.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "error.h"

namespace dpm {
namespace {

// libtorch's current stream of the device; its default stream has id 0, which is CUDA's null stream.
void* current_stream(const at::Device& device) {
  const c10::impl::VirtualGuardImpl guard(device.type());
  const c10::Stream stream = guard.getStream(device);
  DPM_CHECK(stream.id() == 0, "DPM_INTERNAL", "The kernels run on the default CUDA stream only.");
  return nullptr;
}

template <typename Arguments>
void launch(const at::Device& device, const Arguments& arguments, void (*on_cpu)(const Arguments&),
            int (*CudaKernels::*on_cuda)(const Arguments*, void*)) {
  if (device.is_cpu()) return on_cpu(arguments);
  const CudaKernels& kernels = cuda_kernels();
  const int error = (kernels.*on_cuda)(&arguments, current_stream(device));
  DPM_CHECK(error == 0, "DPM_NATIVE", std::string("CUDA: ") + kernels.describe(error));
}

}  // namespace

void launch_normals(const at::Device& device, const NormalArguments& a) { launch(device, a, cpu::normals, &CudaKernels::normals); }
void launch_noise_step(const at::Device& device, const NoiseStepArguments& a) {
  launch(device, a, cpu::noise_step, &CudaKernels::noise_step);
}
void launch_combine(const at::Device& device, const CombineArguments& a) { launch(device, a, cpu::combine, &CudaKernels::combine); }
void launch_loss(const at::Device& device, const LossArguments& a) { launch(device, a, cpu::loss, &CudaKernels::loss); }
void launch_optimizer(const at::Device& device, const OptimizerArguments& a) {
  launch(device, a, cpu::optimizer, &CudaKernels::optimizer);
}
void launch_dropout(const at::Device& device, const DropoutArguments& a) { launch(device, a, cpu::dropout, &CudaKernels::dropout); }

double launch_squared_norm(const at::Tensor& flat) {
  if (flat.is_cpu()) return cpu::squared_norm(flat.const_data_ptr<float>(), flat.numel());
  const CudaKernels& kernels = cuda_kernels();
  const at::Tensor result = at::empty({1}, flat.options().dtype(at::kDouble));
  const int error = kernels.squared_norm(flat.const_data_ptr<float>(), flat.numel(), result.data_ptr<double>(), current_stream(flat.device()));
  DPM_CHECK(error == 0, "DPM_NATIVE", std::string("CUDA: ") + kernels.describe(error));
  return result.item<double>();
}

}  // namespace dpm
