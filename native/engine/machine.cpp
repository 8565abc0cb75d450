#include "machine.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <chrono>
#include <cstring>

#include "error.h"

namespace dpm {
namespace {

template <typename Work>
std::vector<double> timed(std::int64_t times, const at::Device& device, const Cancellation* cancellation, const Work& work) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> seconds;
  for (std::int64_t i = 0; i <= times; ++i) {
    if (cancellation) cancellation->throw_if_requested();
    const auto began = Clock::now();
    work();
    if (!device.is_cpu()) c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
    if (i > 0) seconds.push_back(std::chrono::duration<double>(Clock::now() - began).count());
  }
  return seconds;
}

}  // namespace

std::vector<double> convolution_seconds(std::int64_t count, std::int64_t channels, std::int64_t size, Precision precision, const at::Device& device,
                                        std::int64_t times, const Cancellation* cancellation) {
  const at::NoGradGuard no_grad;
  const bool half = precision == Precision::bfloat16 || precision == Precision::float16;
  const auto type = !half ? at::kFloat : precision == Precision::bfloat16 ? at::kBFloat16 : at::kHalf;
  const auto options = at::TensorOptions().dtype(type).device(device);
  const auto channels_last = [&](at::IntArrayRef shape) { return at::full(shape, 0.5, options).contiguous(at::MemoryFormat::ChannelsLast); };
  const at::Tensor x = channels_last({count, channels, size, size}), weight = channels_last({channels, channels, 3, 3});
  const PrecisionScope scope(precision, device);  // of tf32, what float32 is
  return timed(times, device, cancellation, [&] { at::conv2d(x, weight, {}, {1, 1}, at::IntArrayRef({1, 1})); });
}

std::vector<double> copy_seconds(std::int64_t bytes, const at::Device& device, std::int64_t times, const Cancellation* cancellation) {
  const auto options = at::TensorOptions().dtype(at::kByte).device(device);
  const at::Tensor from = at::full({bytes}, 1, options), to = at::empty({bytes}, options);
  return timed(times, device, cancellation, [&] {
    if (!device.is_cpu()) return static_cast<void>(to.copy_(from));
    const auto* const source = from.const_data_ptr<std::uint8_t>();
    auto* const target = to.mutable_data_ptr<std::uint8_t>();
    at::parallel_for(0, bytes, 1 << 20, [&](std::int64_t begin, std::int64_t end) {
      std::memcpy(target + begin, source + begin, static_cast<std::size_t>(end - begin));
    });
  });
}

}  // namespace dpm
