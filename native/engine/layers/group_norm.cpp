#include <ATen/TensorOperators.h>
#include <ATen/ops/add.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/silu.h>

#include "layers/layers.h"

namespace dpm {

GroupNorm::GroupNorm(ParameterList& list, const std::string& name, std::int64_t channels, std::int64_t groups, double epsilon)
    : weight_(list.add(name + ".weight", {channels}, {Initializer::Kind::ones, 0})),
      bias_(list.add(name + ".bias", {channels}, {Initializer::Kind::zeros, 0})),
      groups_(groups),
      epsilon_(epsilon) {}

at::Tensor GroupNorm::operator()(const Pass& pass, const at::Tensor& x) const {
  return at::group_norm(x, groups_, pass[weight_], pass[bias_], epsilon_);
}

at::Tensor GroupNorm::silu(const Pass& pass, const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift) const {
  at::Tensor y = (*this)(pass, x);
  if (scale.defined()) y = y * (scale + 1).unsqueeze(-1).unsqueeze(-1) + shift.unsqueeze(-1).unsqueeze(-1);
  return at::silu(y);
}

}  // namespace dpm
