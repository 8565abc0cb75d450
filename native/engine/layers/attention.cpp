#include <ATen/TensorOperators.h>
#include <ATen/ops/_scaled_dot_product_attention_math.h>
#include <ATen/ops/add.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include <tuple>

#include "error.h"
#include "layers/layers.h"

namespace dpm {

Attention::Attention(ParameterList& list, const std::string& name, const AttentionSettings& settings, const Initialization& start)
    : settings_(settings),
      norm_(list, name + ".norm", settings.channels, settings.groups, settings.epsilon),
      qkv_(list, name + ".qkv", settings.channels, 3 * settings.channels, start),
      out_(list, name + ".out", settings.channels, settings.channels, start, Role::last) {
  DPM_CHECK(settings.heads >= 1 && settings.channels % settings.heads == 0, "DPM_INVALID_OPTION",
            "The attention heads do not divide " + std::to_string(settings.channels) + " channels.");
}

at::Tensor Attention::operator()(const Pass& pass, const at::Tensor& x) const {
  const std::int64_t count = x.size(0), channels = x.size(1), height = x.size(2), width = x.size(3);
  const std::int64_t heads = settings_.heads, width_of_head = channels / heads;
  // Channels-last memory makes positions × channels a view; as a 1×1 convolution the product takes oneDNN's path, which is
  // several times faster than the BLAS on some processors.
  const at::Tensor joint = qkv_.pointwise(pass, norm_(pass, x)).permute({0, 2, 3, 1}).reshape({count, height * width, 3 * channels});
  // Rows of qkv are [q | k | v], each head by head, or head by head [q | k | v].
  const at::Tensor parts = settings_.interleaved ? joint.view({count, height * width, heads, 3, width_of_head}).permute({3, 0, 2, 1, 4})
                                                 : joint.view({count, height * width, 3, heads, width_of_head}).permute({2, 0, 3, 1, 4});
  const at::Tensor q = parts.select(0, 0), k = parts.select(0, 1), v = parts.select(0, 2);
  // libtorch's fused attention has a gradient, but that has none.
  const at::Tensor mixed = pass.twice ? std::get<0>(at::_scaled_dot_product_attention_math(q, k, v)) : at::scaled_dot_product_attention(q, k, v);
  const at::Tensor joined = mixed.transpose(1, 2).reshape({count, height, width, channels}).permute({0, 3, 1, 2});
  const at::Tensor sum = x + out_.pointwise(pass, joined);
  return settings_.skip_scale == 1 ? sum : sum * settings_.skip_scale;
}

}  // namespace dpm
