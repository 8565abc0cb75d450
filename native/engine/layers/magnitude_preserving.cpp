#include "layers/magnitude_preserving.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/add.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/silu.h>

#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

namespace dpm {
namespace {

constexpr double kEpsilon = 1e-4;
constexpr double kPi = 3.14159265358979323846;

// Root mean square over the dimensions, plus epsilon, with the dimensions kept.
at::Tensor magnitude(const at::Tensor& x, at::IntArrayRef dimensions) {
  std::int64_t count = 1;
  for (const std::int64_t dimension : dimensions) count *= x.size(dimension);
  return at::linalg_vector_norm(x, 2, dimensions, true, at::kFloat) * (1 / std::sqrt(static_cast<double>(count))) + kEpsilon;
}

// All dimensions but the first: those of one output.
std::vector<std::int64_t> of_row(const at::Tensor& weight) {
  std::vector<std::int64_t> dimensions(static_cast<std::size_t>(weight.dim() - 1));
  std::iota(dimensions.begin(), dimensions.end(), 1);
  return dimensions;
}

}  // namespace

at::Tensor unit_magnitude(const at::Tensor& x, at::IntArrayRef dimensions) { return x / magnitude(x, dimensions).to(x.scalar_type()); }

at::Tensor mp_silu(const at::Tensor& x) { return at::silu(x) * (1 / 0.596); }

at::Tensor mp_sum(const at::Tensor& a, const at::Tensor& b, double t) {
  const double scale = 1 / std::hypot(1 - t, t);
  return at::add(a * ((1 - t) * scale), b, t * scale);
}

at::Tensor mp_cat(const at::Tensor& a, const at::Tensor& b, double t) {
  const double of_a = static_cast<double>(a.size(1)), of_b = static_cast<double>(b.size(1));
  const double scale = std::sqrt(of_a + of_b) / std::hypot(1 - t, t);
  return at::cat({a * (scale * (1 - t) / std::sqrt(of_a)), b * (scale * t / std::sqrt(of_b))}, 1);
}

MpWeight::MpWeight(ParameterList& list, const std::string& name, std::vector<std::int64_t> shape)
    : fan_in_(std::accumulate(shape.begin() + 1, shape.end(), std::int64_t{1}, std::multiplies<>())) {
  index_ = list.add(name, std::move(shape), {Initializer::Kind::normal, 1});
}

at::Tensor MpWeight::operator()(const Pass& pass, const at::Tensor& gain) const {
  const at::Tensor& weight = pass[index_];
  at::Tensor scale = 1 / (magnitude(weight, of_row(weight)) * std::sqrt(static_cast<double>(fan_in_)));
  if (gain.defined()) scale = scale * gain;
  return weight * scale;
}

at::Tensor MpWeight::rows(const Pass& pass) const { return unit_magnitude(pass[index_], of_row(pass[index_])); }

void MpWeight::force(const std::vector<at::Tensor>& parameters) const {
  const at::NoGradGuard no_grad;
  const at::Tensor& weight = parameters[index_];
  weight.copy_(unit_magnitude(weight, of_row(weight)));
}

at::Tensor MpLinear::operator()(const Pass& pass, const at::Tensor& x, const at::Tensor& gain) const { return at::linear(x, weight(pass, gain)); }

MpConvolution::MpConvolution(ParameterList& list, const std::string& name, std::int64_t in, std::int64_t out, int kernel)
    : weight(list, name + ".weight", {out, in, kernel, kernel}), kernel_(kernel) {}

at::Tensor MpConvolution::operator()(const Pass& pass, const at::Tensor& x, const at::Tensor& gain) const {
  const std::int64_t padding = kernel_ / 2;
  return at::conv2d(x, weight(pass, gain), {}, {1, 1}, {padding, padding});
}

MpFourier::MpFourier(ParameterList& list, const std::string& name, std::int64_t channels)
    : frequencies_(list.add_statistic(name + ".frequencies", {channels}, {Initializer::Kind::normal, 2 * kPi})),
      phases_(list.add_statistic(name + ".phases", {channels}, {Initializer::Kind::uniform, kPi})) {}

at::Tensor MpFourier::operator()(const Pass& pass, const at::Tensor& labels) const {
  return at::cos(labels.unsqueeze(1) * pass[frequencies_] + pass[phases_]) * std::sqrt(2.0);
}

}  // namespace dpm
