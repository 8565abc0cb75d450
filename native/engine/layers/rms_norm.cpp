#include "layers/rms_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/silu.h>

#include <cmath>

namespace dpm {
namespace {

constexpr double kLeast = 1e-12;

// C or N×C → …×C×1×1.
at::Tensor spread(const at::Tensor& t) { return t.unsqueeze(-1).unsqueeze(-1); }

}  // namespace

RmsNorm::RmsNorm(ParameterList& list, const std::string& name, std::int64_t channels)
    : weight_(list.add(name + ".weight", {channels}, {Initializer::Kind::ones, 0})) {}

at::Tensor RmsNorm::operator()(const Pass& pass, const at::Tensor& x) const {
  const at::Tensor wide = x.to(at::kFloat);
  const at::Tensor length = at::linalg_vector_norm(wide, 2, at::IntArrayRef({1}), true).clamp_min(kLeast);
  return wide / length * spread(pass[weight_] * std::sqrt(static_cast<double>(x.size(1))));
}

at::Tensor RmsNorm::silu(const Pass& pass, const at::Tensor& x, const Modulation& modulation) const {
  at::Tensor y = (*this)(pass, x);
  if (modulation.scale.defined()) y = y * spread(modulation.scale + 1) + spread(modulation.shift);
  return at::silu(y);
}

}  // namespace dpm
