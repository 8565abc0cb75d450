#include <ATen/TensorOperators.h>
#include <ATen/ops/add.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/mul.h>
#include <torch/csrc/autograd/custom_function.h>

#include "error.h"
#include "layers/differentiated_once.h"
#include "layers/layers.h"
#include "ops/group_norm_silu.h"
#include "profile.h"

namespace dpm {
namespace {

// Autograd functions take no undefined tensors: what is absent travels as an empty one.
at::Tensor present_or_empty(const at::Tensor& tensor, const at::Tensor& example) {
  return tensor.defined() ? tensor.to(at::kFloat).contiguous() : at::empty({0}, example.options());
}

const float* data_of(const at::Tensor& tensor) { return tensor.numel() > 0 ? tensor.const_data_ptr<float>() : nullptr; }

float* writable(const at::Tensor& tensor) { return tensor.defined() ? tensor.mutable_data_ptr<float>() : nullptr; }

at::Tensor gradient_like(const at::Tensor& tensor) { return tensor.numel() > 0 ? at::empty_like(tensor) : at::Tensor(); }

template <typename Number>
GroupNormSilu<Number> arguments_of(const torch::autograd::variable_list& inputs, const at::Tensor& statistics, const at::Tensor& sums,
                                   std::int64_t groups, double epsilon) {
  const at::Tensor& x = inputs[0];
  const std::int64_t count = x.size(0);
  float* const means = statistics.mutable_data_ptr<float>();
  return {x.const_data_ptr<Number>(),
          data_of(inputs[1]),
          data_of(inputs[2]),
          data_of(inputs[3]),
          data_of(inputs[4]),
          data_of(inputs[5]),
          means,
          means + count * groups,
          sums.mutable_data_ptr<float>(),
          count,
          x.size(2) * x.size(3),
          x.size(1),
          groups,
          epsilon};
}

// Half precision, where autocast has made x so, as float32.
at::Tensor at_least_single(const at::Tensor& x) { return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat); }

// Calls with a number of the kind that x holds, one of the two that the kernel knows.
template <typename Call>
void as_stored(const at::Tensor& x, const Call& call) {
  if (x.scalar_type() == at::kBFloat16) {
    call(at::BFloat16());
  } else {
    call(float());
  }
}

// N×C → N×C×1×1.
at::Tensor spread(const at::Tensor& t) { return t.unsqueeze(-1).unsqueeze(-1); }

at::Tensor activated_by_operators(const GroupNorm& norm, const Pass& pass, const at::Tensor& x, Activation activation, const Modulation& modulation) {
  at::Tensor y = norm(pass, modulation.offset.defined() ? x + spread(modulation.offset) : x);
  if (modulation.scale.defined()) y = y * spread(modulation.scale + 1) + spread(modulation.shift);
  return activate(activation, y);
}

// Inputs: x, weight, bias, offset, scale, shift; the last three may be empty.
struct FusedGroupNormSilu : torch::autograd::Function<FusedGroupNormSilu> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                            const at::Tensor& offset, const at::Tensor& scale, const at::Tensor& shift, std::int64_t groups, double epsilon) {
    const torch::autograd::variable_list inputs{x, weight, bias, offset, scale, shift};
    const at::Tensor statistics = at::empty({2, x.size(0), groups}, weight.options());
    const at::Tensor sums = at::empty({x.size(0), x.size(1)}, weight.options());
    const at::Tensor y = at::empty_like(x);
    const Operation operation("dpm::group_norm_silu", {x, weight, bias, offset, scale, shift}, {y});
    as_stored(x, [&](auto number) {
      using Number = decltype(number);
      cpu::group_norm_silu(arguments_of<Number>(inputs, statistics, sums, groups, epsilon), y.mutable_data_ptr<Number>());
    });
    context->save_for_backward({x, weight, bias, offset, scale, shift, statistics, sums});
    context->saved_data["groups"] = groups;
    context->saved_data["epsilon"] = epsilon;
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    check_differentiated_once("group norm");
    const auto saved = context->get_saved_variables();
    const at::Tensor out = gradients[0].to(saved[0].scalar_type()).contiguous(at::MemoryFormat::ChannelsLast);
    const at::Tensor x = at::empty_like(saved[0]);
    const at::Tensor weight = at::empty_like(saved[7]), bias = at::empty_like(saved[7]);
    const at::Tensor offset = gradient_like(saved[3]), scale = gradient_like(saved[4]), shift = gradient_like(saved[5]);
    {
      const Operation operation("dpm::group_norm_silu_backward", {out, saved[0]}, {x, weight, bias, offset, scale, shift});
      as_stored(x, [&](auto number) {
        using Number = decltype(number);
        cpu::group_norm_silu_backward<Number>(
            arguments_of<Number>(saved, saved[6], saved[7], context->saved_data["groups"].toInt(), context->saved_data["epsilon"].toDouble()),
            {out.const_data_ptr<Number>(), x.mutable_data_ptr<Number>(), writable(weight), writable(bias), writable(offset), writable(scale),
             writable(shift)});
      });
    }
    return {x, weight.sum(0), bias.sum(0), offset, scale, shift, {}, {}};
  }
};

}  // namespace

GroupNorm::GroupNorm(ParameterList& list, const std::string& name, std::int64_t channels, std::int64_t groups, double epsilon)
    : weight_(list.add(name + ".weight", {channels}, {Initializer::Kind::ones, 0})),
      bias_(list.add(name + ".bias", {channels}, {Initializer::Kind::zeros, 0})),
      groups_(groups),
      epsilon_(epsilon) {
  DPM_CHECK(groups >= 1 && channels % groups == 0, "DPM_INVALID_OPTION",
            "The groups of a norm, " + std::to_string(groups) + ", do not divide its " + std::to_string(channels) + " channels.");
}

at::Tensor GroupNorm::operator()(const Pass& pass, const at::Tensor& x) const {
  return at::group_norm(at_least_single(x), groups_, pass[weight_], pass[bias_], epsilon_);
}

at::Tensor GroupNorm::silu(const Pass& pass, const at::Tensor& x, const Modulation& modulation) const {
  if (x.is_cpu() && pass.fused_norms && !pass.twice && x.scalar_type() != at::kDouble && x.numel() > 0) {
    const at::Tensor known = x.scalar_type() == at::kBFloat16 ? x : x.to(at::kFloat);
    return FusedGroupNormSilu::apply(known.contiguous(at::MemoryFormat::ChannelsLast), pass[weight_], pass[bias_],
                                     present_or_empty(modulation.offset, pass[weight_]), present_or_empty(modulation.scale, pass[weight_]),
                                     present_or_empty(modulation.shift, pass[weight_]), groups_, epsilon_);
  }
  return activated_by_operators(*this, pass, x, Activation::silu, modulation);
}

at::Tensor GroupNorm::activated(const Pass& pass, const at::Tensor& x, Activation activation, const Modulation& modulation) const {
  return activation == Activation::silu ? silu(pass, x, modulation) : activated_by_operators(*this, pass, x, activation, modulation);
}

AdaptiveGroupNorm::AdaptiveGroupNorm(ParameterList& list, const std::string& name, std::int64_t channels, std::int64_t groups, double epsilon,
                                     std::int64_t embedding_channels, const Initialization& start)
    : linear_(list, name + ".linear", embedding_channels, 2 * channels, start), groups_(groups), epsilon_(epsilon) {}

at::Tensor AdaptiveGroupNorm::operator()(const Pass& pass, const at::Tensor& x, const at::Tensor& embedding) const {
  const auto halves = linear_(pass, embedding).chunk(2, 1);
  return at::group_norm(x, groups_, {}, {}, epsilon_) * spread(halves[0] + 1) + spread(halves[1]);
}

}  // namespace dpm
