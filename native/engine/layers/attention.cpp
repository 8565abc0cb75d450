#include <ATen/TensorOperators.h>
#include <ATen/ops/_scaled_dot_product_attention_math.h>
#include <ATen/ops/add.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include <tuple>

#include "error.h"
#include "layers/layers.h"

namespace dpm {

at::Tensor attend(const Pass& pass, const at::Tensor& parts) {
  const at::Tensor q = parts.select(0, 0), k = parts.select(0, 1), v = parts.select(0, 2);
  // libtorch's fused attention has a gradient, but that has none.
  const at::Tensor mixed = pass.twice ? std::get<0>(at::_scaled_dot_product_attention_math(q, k, v)) : at::scaled_dot_product_attention(q, k, v);
  return mixed.transpose(1, 2).flatten(2);
}

at::Tensor attend(const Pass& pass, const at::Tensor& joint, std::int64_t heads, bool interleaved) {
  const std::int64_t count = joint.size(0), positions = joint.size(1), channels = joint.size(2) / 3;
  const std::int64_t width = channels / heads;
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
