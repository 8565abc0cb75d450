#include <ATen/autocast_mode.h>
#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/conv_transpose2d.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/upsample_nearest2d.h>

#include <torch/csrc/autograd/custom_function.h>

#include "layers/convolve.h"
#include "layers/differentiated_once.h"
#include "layers/initializers.h"
#include "layers/layers.h"
#include "ops/pointwise.h"
#include "ops/weight_gradient_amx.h"
#include "ops/winograd.h"
#include "profile.h"

namespace dpm {
namespace {

// Convolutions on a CPU run in half precision: PrecisionScope says so to libtorch, in passes of every kind.
bool runs_in_half() { return at::autocast::is_autocast_enabled(at::kCPU); }

at::Tensor channels_last(const at::Tensor& t) { return t.contiguous(at::MemoryFormat::ChannelsLast); }

at::Tensor empty_output(const at::Tensor& x, std::int64_t channels) {
  return at::empty({x.size(0), channels, x.size(2), x.size(3)}, x.options(), at::MemoryFormat::ChannelsLast);
}

const float* data_of(const at::Tensor& t) { return t.numel() > 0 ? t.const_data_ptr<float>() : nullptr; }

// 3×3.
struct Winograd {
  static constexpr auto kForward = "dpm::winograd_convolution";
  static constexpr auto kBackwardInput = "dpm::winograd_convolution_backward_input";
  static constexpr auto kBackwardWeight = "dpm::winograd_convolution_backward_weight";

  static cpu::WinogradShape shape(const at::Tensor& x, const at::Tensor& weight) {
    return {x.size(0), x.size(2), x.size(3), x.size(1), weight.size(0)};
  }
  static constexpr auto forward = cpu::winograd_forward;
  static constexpr auto backward_data = cpu::winograd_backward_data;
  static void backward_weight(const cpu::WinogradShape& shape, const at::Tensor& x, const at::Tensor& dy, at::Tensor& weight, at::Tensor* bias) {
    cpu::winograd_backward_weight(shape, x.const_data_ptr<float>(), dy.const_data_ptr<float>(), weight.mutable_data_ptr<float>());
    if (bias != nullptr) *bias = dy.sum({0, 2, 3});
  }
};

// 1×1.
struct Pointwise {
  static constexpr auto kForward = "dpm::pointwise_convolution";
  static constexpr auto kBackwardInput = "dpm::pointwise_convolution_backward_input";
  static constexpr auto kBackwardWeight = "dpm::pointwise_convolution_backward_weight";

  static cpu::PointwiseShape shape(const at::Tensor& x, const at::Tensor& weight) {
    return {x.size(0) * x.size(2) * x.size(3), x.size(1), weight.size(0)};
  }
  static constexpr auto forward = cpu::pointwise_forward;
  static constexpr auto backward_data = cpu::pointwise_backward_data;
  static void backward_weight(const cpu::PointwiseShape& shape, const at::Tensor& x, const at::Tensor& dy, at::Tensor& weight, at::Tensor* bias) {
    if (bias != nullptr) *bias = at::empty({weight.size(0)}, weight.options());
    cpu::pointwise_backward_weight(shape, x.const_data_ptr<float>(), dy.const_data_ptr<float>(), weight.mutable_data_ptr<float>(),
                                   bias != nullptr ? bias->mutable_data_ptr<float>() : nullptr);
  }
};

// A float32 convolution by kernels of ours: x channels-last, the weight as `Kernels` want it, the bias of size 0 where there is none.
template <typename Kernels>
struct OwnConvolution : torch::autograd::Function<OwnConvolution<Kernels>> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
    const at::Tensor y = empty_output(x, weight.size(0));
    const Operation operation(Kernels::kForward, {x, weight, bias}, {y});
    Kernels::forward(Kernels::shape(x, weight), x.const_data_ptr<float>(), weight.const_data_ptr<float>(), data_of(bias),
                     y.mutable_data_ptr<float>());
    context->save_for_backward({x, weight});
    context->saved_data["biased"] = bias.numel() > 0;
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    check_differentiated_once("convolution");
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    const at::Tensor dy = channels_last(gradients[0].to(at::kFloat));
    const auto shape = Kernels::shape(x, weight);
    torch::autograd::variable_list result(3);
    if (context->needs_input_grad(0)) {
      result[0] = at::empty_like(x);
      const Operation operation(Kernels::kBackwardInput, {dy, weight}, {result[0]});
      Kernels::backward_data(shape, dy.const_data_ptr<float>(), weight.const_data_ptr<float>(), result[0].mutable_data_ptr<float>());
    }
    const bool biased = context->saved_data["biased"].toBool() && context->needs_input_grad(2);
    if (context->needs_input_grad(1)) {
      result[1] = at::empty_like(weight);
      const Operation operation(Kernels::kBackwardWeight, {x, dy}, {result[1]});
      Kernels::backward_weight(shape, x, dy, result[1], biased ? &result[2] : nullptr);
    } else if (biased) {
      result[2] = dy.sum({0, 2, 3});
    }
    return result;
  }
};

bool fits_pointwise(const Pass& pass, const at::Tensor& x, const at::Tensor& weight) {
  return pass.pointwise && weight.size(2) == 1 && !pass.twice && !runs_in_half() && x.is_cpu() && x.scalar_type() == at::kFloat &&
         weight.scalar_type() == at::kFloat && weight.is_contiguous() && cpu::pointwise_fits(Pointwise::shape(x, weight));
}

// A convolution of bfloat16 whose weight's gradient is float32 and ours; output and input gradient are oneDNN's.
struct Bfloat16Convolution : torch::autograd::Function<Bfloat16Convolution> {
  // x: bfloat16, channels-last. weight: float32. bias: float32, of size 0 where there is none.
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
    const bool biased = bias.numel() > 0;
    const at::Tensor narrow = weight.to(at::kBFloat16);
    const std::int64_t padding = weight.size(2) / 2;
    context->save_for_backward({x, narrow});
    context->saved_data["biased"] = biased;
    return at::conv2d(x, narrow, biased ? std::optional(bias.to(at::kBFloat16)) : std::nullopt, {1, 1}, at::IntArrayRef({padding, padding}));
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    check_differentiated_once("convolution");
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    const at::Tensor dy = channels_last(gradients[0].to(at::kBFloat16));
    const std::int64_t size = weight.size(2), padding = size / 2;
    const auto wide = weight.options().dtype(at::kFloat);
    torch::autograd::variable_list result(3);
    if (context->needs_input_grad(0)) {
      const auto computed =
          at::convolution_backward(dy, x, weight, std::nullopt, {1, 1}, {padding, padding}, {1, 1}, false, {0, 0}, 1, {true, false, false});
      result[0] = std::get<0>(computed);
    }
    if (context->needs_input_grad(1)) {
      result[1] = at::empty(weight.sizes(), wide, at::MemoryFormat::ChannelsLast);
      if (context->saved_data["biased"].toBool()) result[2] = at::empty({weight.size(0)}, wide);
      const Operation operation("dpm::convolution_backward_weight", {x, dy}, {result[1]});
      cpu::weight_gradient_amx({x.size(0), x.size(2), x.size(3), x.size(1), weight.size(0), size}, x.const_data_ptr<at::BFloat16>(),
                               dy.const_data_ptr<at::BFloat16>(), result[1].mutable_data_ptr<float>(),
                               result[2].defined() ? result[2].mutable_data_ptr<float>() : nullptr);
    }
    return result;
  }
};

bool fits_tiles(const Pass& pass, const at::Tensor& x, const at::Tensor& weight, const Kernel& kernel) {
  return pass.matrix_tiles && runs_in_half() && at::autocast::get_autocast_dtype(at::kCPU) == at::kBFloat16 && !pass.twice &&
         at::GradMode::is_enabled() && weight.requires_grad() && weight.scalar_type() == at::kFloat && (kernel.size == 3 || kernel.size == 1) &&
         kernel.dilation == 1 && x.is_cpu() && x.numel() > 0 && cpu::weight_gradient_amx_available();
}

bool fits_winograd(const Pass& pass, const at::Tensor& x, const at::Tensor& weight, const Kernel& kernel) {
  return pass.winograd && !pass.twice && !runs_in_half() && kernel.size == 3 && kernel.dilation == 1 && x.is_cpu() && x.scalar_type() == at::kFloat &&
         weight.is_contiguous(at::MemoryFormat::ChannelsLast) && cpu::winograd_fits(Winograd::shape(x, weight));
}

}  // namespace

Convolution::Convolution(ParameterList& list, const std::string& name, std::int64_t in, std::int64_t out, Kernel kernel, const Initialization& start,
                         Role role, bool biased)
    : kernel_(kernel) {
  const std::int64_t area = std::int64_t{kernel.size} * kernel.size;
  weight_ = list.add(name + ".weight", {out, in, kernel.size, kernel.size}, weight_initializer(start, role, in * area, out * area));
  if (biased) bias_ = list.add(name + ".bias", {out}, bias_initializer(start, role, in * area));
}

at::Tensor convolve(const Pass& pass, const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias, const Kernel& kernel) {
  const auto given = [&] { return bias ? *bias : at::empty({0}, weight.options()); };
  if (fits_winograd(pass, x, weight, kernel)) return OwnConvolution<Winograd>::apply(channels_last(x), weight, given());
  if (fits_pointwise(pass, x, weight)) return OwnConvolution<Pointwise>::apply(channels_last(x), weight, given());
  if (fits_tiles(pass, x, weight, kernel)) return Bfloat16Convolution::apply(channels_last(x.to(at::kBFloat16)), weight, given());
  const std::int64_t dilation = kernel.dilation, padding = dilation * (kernel.size / 2);
  return at::conv2d(x, weight, bias, {1, 1}, at::IntArrayRef({padding, padding}), {dilation, dilation});
}

at::Tensor Convolution::operator()(const Pass& pass, const at::Tensor& x) const { return convolve(pass, x, pass[weight_], bias(pass), kernel_); }

at::Tensor Convolution::halve(const Pass& pass, const at::Tensor& x, bool asymmetric) const {
  if (asymmetric) return halve_inside(pass, at::constant_pad_nd(x, {0, 1, 0, 1}));
  return at::conv2d(x, pass[weight_], bias(pass), {2, 2}, at::IntArrayRef({1, 1}));
}

at::Tensor Convolution::halve_inside(const Pass& pass, const at::Tensor& x) const {
  return at::conv2d(x, pass[weight_], bias(pass), {2, 2}, at::IntArrayRef({0, 0}));
}

PatchConvolution::PatchConvolution(ParameterList& list, const std::string& name, std::int64_t in, std::int64_t out, std::int64_t height,
                                   std::int64_t width, const Initialization& start)
    : height_(height), width_(width) {
  const std::int64_t fan_out = out * height * width;
  // Every output has `in` inputs; PyTorch's own start takes the second axis of its weight for them.
  const std::int64_t fan_in = start.scheme == Initialization::Scheme::torch ? fan_out : in;
  weight_ = list.add(name + ".weight", {in, out, height, width}, weight_initializer(start, Role::inner, fan_in, fan_out));
  bias_ = list.add(name + ".bias", {out}, bias_initializer(start, Role::inner, fan_in));
}

at::Tensor PatchConvolution::operator()(const Pass& pass, const at::Tensor& x) const {
  return at::conv_transpose2d(x, pass[weight_], pass[bias_], {height_, width_});
}

at::Tensor double_size(const at::Tensor& x) { return at::upsample_nearest2d(x, {x.size(2) * 2, x.size(3) * 2}, 2.0, 2.0); }

at::Tensor nearest_size(const at::Tensor& x, std::int64_t height, std::int64_t width) { return at::upsample_nearest2d(x, {height, width}); }

at::Tensor half_size(const at::Tensor& x) { return at::avg_pool2d(x, {2, 2}, {2, 2}); }

}  // namespace dpm
