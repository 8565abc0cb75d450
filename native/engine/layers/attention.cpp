#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_scaled_dot_product_attention_math.h>
#include <ATen/ops/add.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <torch/csrc/autograd/custom_function.h>

#include <tuple>

#include "error.h"
#include "layers/differentiated_once.h"
#include "layers/layers.h"
#include "ops/attention_cpu.h"
#include "profile.h"

namespace dpm {
namespace {

cpu::AttentionLayout layout_of(const at::Tensor& joint, std::int64_t heads, bool interleaved) {
  const std::int64_t channels = joint.size(2) / 3, width = channels / heads;
  cpu::AttentionLayout layout{joint.size(0), joint.size(1), heads, width, joint.stride(0), joint.stride(1), width, channels};
  if (interleaved) std::tie(layout.head_stride, layout.part_stride) = std::tuple(3 * width, width);
  return layout;
}

// body(T{}) with the element type of a tensor.
template <typename Body>
void with_elements_of(const at::Tensor& tensor, const Body& body) {
  const at::ScalarType type = tensor.scalar_type();
  if (type == at::kBFloat16) return body(at::BFloat16());
  if (type == at::kHalf) return body(at::Half());
  body(float());
}

// Where our kernel is the faster, as measured with AVX-512 and AMX at 16 … 1024 positions and heads of 8 … 256 channels: a
// library's matrix products catch up where heads are large, in half precision much sooner, but not their gradients. Neither
// the batch nor the number of threads has a say, so that an image is the same in any company.
bool is_fused(const Pass& pass, const at::Tensor& joint, std::int64_t width) {
  if (!pass.fused_attention || pass.twice || !joint.is_cpu()) return false;
  const at::ScalarType type = joint.scalar_type();
  const std::int64_t size = joint.size(1) * width;
  if (type == at::kFloat) return width <= 8 || size <= 131'072;
  if (type != at::kBFloat16 && type != at::kHalf) return false;
  // A block that will run again must be the same both times.
  const bool learns = at::GradMode::is_enabled() || pass.activation_checkpointing;
  return width <= 8 || size <= (learns ? 32'768 : 4'096);
}

at::Tensor attend_fused(const at::Tensor& joint, std::int64_t heads, bool interleaved, float* statistics) {
  const at::Tensor mixed = at::empty({joint.size(0), joint.size(1), joint.size(2) / 3}, joint.options());
  const Operation operation("dpm::attention", {joint}, {mixed});
  with_elements_of(joint, [&](auto element) {
    using T = decltype(element);
    cpu::attend(layout_of(joint, heads, interleaved), joint.const_data_ptr<T>(), mixed.mutable_data_ptr<T>(), statistics);
  });
  return mixed;
}

struct FusedAttention : torch::autograd::Function<FusedAttention> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& joint, std::int64_t heads, bool interleaved) {
    const at::Tensor statistics = at::empty({joint.size(0), heads, 2, joint.size(1)}, joint.options().dtype(at::kFloat));
    const at::Tensor mixed = attend_fused(joint, heads, interleaved, statistics.mutable_data_ptr<float>());
    context->save_for_backward({joint, statistics});
    context->saved_data["heads"] = heads;
    context->saved_data["interleaved"] = interleaved;
    return mixed;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    check_differentiated_once("attention");
    const auto saved = context->get_saved_variables();
    const at::Tensor &joint = saved[0], &statistics = saved[1];
    const at::Tensor by_mixed = gradients[0].to(joint.scalar_type()).contiguous();
    const at::Tensor by_joint = at::empty(joint.sizes(), joint.options());
    const cpu::AttentionLayout layout = layout_of(joint, context->saved_data["heads"].toInt(), context->saved_data["interleaved"].toBool());
    const Operation operation("dpm::attention_backward", {joint, statistics, by_mixed}, {by_joint});
    with_elements_of(joint, [&](auto element) {
      using T = decltype(element);
      cpu::attend_backward(layout, joint.const_data_ptr<T>(), statistics.const_data_ptr<float>(), by_mixed.const_data_ptr<T>(),
                           by_joint.mutable_data_ptr<T>());
    });
    return {by_joint, {}, {}};
  }
};

}  // namespace

at::Tensor attend(const Pass& pass, const at::Tensor& parts) {
  const at::Tensor q = parts.select(0, 0), k = parts.select(0, 1), v = parts.select(0, 2);
  // libtorch's fused attention has a gradient, but that has none.
  const at::Tensor mixed = pass.twice ? std::get<0>(at::_scaled_dot_product_attention_math(q, k, v)) : at::scaled_dot_product_attention(q, k, v);
  return mixed.transpose(1, 2).flatten(2);
}

at::Tensor attend(const Pass& pass, const at::Tensor& joint, std::int64_t heads, bool interleaved) {
  const std::int64_t count = joint.size(0), positions = joint.size(1), channels = joint.size(2) / 3;
  const std::int64_t width = channels / heads;
  if (is_fused(pass, joint, width)) {
    const at::Tensor rows = joint.stride(2) == 1 ? joint : joint.contiguous();
    if (at::GradMode::is_enabled() && rows.requires_grad()) return FusedAttention::apply(rows, heads, interleaved);
    return attend_fused(rows, heads, interleaved, nullptr);
  }
  const at::Tensor parts = interleaved ? joint.view({count, positions, heads, 3, width}).permute({3, 0, 2, 1, 4})
                                       : joint.view({count, positions, 3, heads, width}).permute({2, 0, 3, 1, 4});
  return attend(pass, parts);
}

Attention::Attention(ParameterList& list, const std::string& name, const AttentionSettings& settings, const Initialization& start)
    : settings_(settings) {
  const std::int64_t channels = settings.channels, inner = settings.inner > 0 ? settings.inner : channels;
  DPM_CHECK(settings.heads >= 1 && inner % settings.heads == 0, "DPM_INVALID_OPTION",
            "The attention heads do not divide " + std::to_string(inner) + " channels.");
  settings_.inner = inner;
  if (settings.groups > 0) norm_ = GroupNorm(list, name + ".norm", channels, settings.groups, settings.epsilon);
  qkv_ = Linear(list, name + ".qkv", channels, 3 * inner, start, Role::attention);
  out_ = Linear(list, name + ".out", inner, channels, start, Role::last);
}

at::Tensor Attention::operator()(const Pass& pass, const at::Tensor& x) const {
  const std::int64_t count = x.size(0), height = x.size(2), width = x.size(3), inner = settings_.inner;
  // Channels-last memory makes positions × channels a view; as a 1×1 convolution the product takes oneDNN's path, which is
  // several times faster than the BLAS on some processors.
  const at::Tensor joint = qkv_.pointwise(pass, norm_ ? (*norm_)(pass, x) : x).permute({0, 2, 3, 1}).reshape({count, height * width, 3 * inner});
  const at::Tensor mixed = attend(pass, joint, settings_.heads, settings_.interleaved);
  const at::Tensor sum = x + out_.pointwise(pass, mixed.reshape({count, height, width, inner}).permute({0, 3, 1, 2}));
  return settings_.skip_scale == 1 ? sum : sum * settings_.skip_scale;
}

}  // namespace dpm
