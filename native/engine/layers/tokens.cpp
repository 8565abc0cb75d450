#include "layers/tokens.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>

namespace dpm {

Patches::Patches(ParameterList& list, const std::string& name, std::int64_t in, std::int64_t out, std::int64_t size, Initializer weight,
                 Initializer bias)
    : weight_(list.add(name + ".weight", {out, in, size, size}, weight)), bias_(list.add(name + ".bias", {out}, bias)), size_(size) {}

at::Tensor Patches::operator()(const Pass& pass, const at::Tensor& x) const {
  const at::Tensor grid = at::conv2d(x, pass[weight_], pass[bias_], {size_, size_});
  return grid.permute({0, 2, 3, 1}).reshape({grid.size(0), grid.size(2) * grid.size(3), grid.size(1)});
}

at::Tensor image_of_patches(const at::Tensor& tokens, std::int64_t size, std::int64_t height, std::int64_t width) {
  const std::int64_t count = tokens.size(0), channels = tokens.size(2) / (size * size);
  const at::Tensor parts = tokens.reshape({count, height, width, size, size, channels}).permute({0, 1, 3, 2, 4, 5});
  return parts.reshape({count, height * size, width * size, channels}).permute({0, 3, 1, 2});
}

LayerNorm::LayerNorm(ParameterList& list, const std::string& name, std::int64_t channels, double epsilon)
    : weight_(list.add(name + ".weight", {channels}, {Initializer::Kind::ones, 0})),
      bias_(list.add(name + ".bias", {channels}, {Initializer::Kind::zeros, 0})),
      channels_(channels),
      epsilon_(epsilon) {}

at::Tensor LayerNorm::operator()(const Pass& pass, const at::Tensor& x) const {
  return at::layer_norm(x, {channels_}, pass[weight_], pass[bias_], epsilon_);
}

at::Tensor LayerNorm::modulated(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& scale, double epsilon) {
  return at::addcmul(shift.unsqueeze(1), at::layer_norm(x, {x.size(2)}, {}, {}, epsilon), (scale + 1).unsqueeze(1));
}

TokenAttention::TokenAttention(ParameterList& list, const std::string& name, std::int64_t channels, std::int64_t heads, Initializer qkv,
                               Initializer out, bool qkv_bias)
    : heads_(heads), qkv_(list, name + ".qkv", channels, 3 * channels, qkv, qkv_bias), out_(list, name + ".out", channels, channels, out) {}

at::Tensor TokenAttention::operator()(const Pass& pass, const at::Tensor& x) const { return out_(pass, attend(pass, qkv_(pass, x), heads_)); }

FeedForward::FeedForward(ParameterList& list, const std::string& name, std::int64_t channels, std::int64_t hidden, Initializer in, Initializer out,
                         Gelu gelu)
    : in_(list, name + ".in", channels, hidden, in), out_(list, name + ".out", hidden, channels, out), gelu_(gelu) {}

at::Tensor FeedForward::operator()(const Pass& pass, const at::Tensor& x) const {
  return out_(pass, at::gelu(in_(pass, x), gelu_ == Gelu::tanh ? "tanh" : "none"));
}

}  // namespace dpm
