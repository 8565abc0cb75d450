#include "layers/memory_attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_scaled_dot_product_attention_math.h>
#include <ATen/ops/add.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>

#include <cmath>
#include <tuple>

#include "error.h"
#include "layers/initializers.h"

namespace dpm {

MemoryAttention::MemoryAttention(ParameterList& list, const std::string& name, const MemoryAttentionSettings& settings, const Initialization& start)
    : settings_(settings), norm_(list, name + ".norm", settings.channels) {
  const std::int64_t channels = settings.channels, heads = settings.heads, width = settings.head_channels, inner = heads * width;
  DPM_CHECK(heads >= 1 && width >= 1, "DPM_INVALID_OPTION", "Expected at least 1 for the heads of an attention and their channels.");
  if (settings.memory > 0) memory_ = list.add(name + ".memory", {2, heads, settings.memory, width}, {Initializer::Kind::normal, 1});
  qkv_ = list.add(name + ".qkv.weight", {3 * inner, channels}, weight_initializer(start, Role::attention, channels, 3 * inner));
  out_ = Linear(list, name + ".out", inner, channels, start);
  if (settings.linear) out_norm_.emplace(list, name + ".outNorm", channels);
}

at::Tensor MemoryAttention::remembered(const Pass& pass, const at::Tensor& own, std::int64_t which) const {
  if (!memory_) return own;
  const at::Tensor memory = pass[*memory_].select(0, which).to(own.scalar_type());
  return at::cat({memory.unsqueeze(0).expand({own.size(0), -1, -1, -1}), own}, 2);
}

at::Tensor MemoryAttention::mix(const Pass& pass, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) const {
  if (settings_.linear) {
    const at::Tensor asked = at::softmax(q, -1, at::kFloat) * (1 / std::sqrt(static_cast<double>(settings_.head_channels)));
    return at::matmul(asked, at::matmul(at::softmax(k, 2, at::kFloat).transpose(2, 3), v));
  }
  // libtorch's fused attention has a gradient, but that has none.
  return pass.twice ? std::get<0>(at::_scaled_dot_product_attention_math(q, k, v)) : at::scaled_dot_product_attention(q, k, v);
}

at::Tensor MemoryAttention::operator()(const Pass& pass, const at::Tensor& x) const {
  const std::int64_t count = x.size(0), height = x.size(2), width = x.size(3), heads = settings_.heads, inner = heads * settings_.head_channels;
  // As a 1×1 convolution, see Attention.
  const at::Tensor joint = at::conv2d(norm_(pass, x), pass[qkv_].unsqueeze(-1).unsqueeze(-1));
  const at::Tensor parts = joint.permute({0, 2, 3, 1}).reshape({count, height * width, 3, heads, settings_.head_channels}).permute({2, 0, 3, 1, 4});
  const at::Tensor mixed = mix(pass, parts.select(0, 0), remembered(pass, parts.select(0, 1), 0), remembered(pass, parts.select(0, 2), 1));
  const at::Tensor image = mixed.transpose(1, 2).reshape({count, height, width, inner}).permute({0, 3, 1, 2});
  const at::Tensor result = out_.pointwise(pass, image);
  return x + (out_norm_ ? (*out_norm_)(pass, result) : result);
}

}  // namespace dpm
