#include <ATen/ops/linear.h>

#include "layers/convolve.h"
#include "layers/initializers.h"
#include "layers/layers.h"

namespace dpm {

Linear::Linear(ParameterList& list, const std::string& name, std::int64_t in, std::int64_t out, const Initialization& start, Role role)
    : weight_(list.add(name + ".weight", {out, in}, weight_initializer(start, role, in, out))),
      bias_(list.add(name + ".bias", {out}, bias_initializer(start, role, in))) {}

Linear::Linear(ParameterList& list, const std::string& name, std::int64_t in, std::int64_t out, Initializer weight, bool bias)
    : weight_(list.add(name + ".weight", {out, in}, weight)) {
  if (bias) bias_ = list.add(name + ".bias", {out}, {});
}

at::Tensor Linear::operator()(const Pass& pass, const at::Tensor& x) const { return at::linear(x, pass[weight_], bias(pass)); }

at::Tensor Linear::pointwise(const Pass& pass, const at::Tensor& x) const {
  return convolve(pass, x, pass[weight_].unsqueeze(-1).unsqueeze(-1), bias_ ? std::optional(pass[*bias_]) : std::nullopt, {1});
}

}  // namespace dpm
