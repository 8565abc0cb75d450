#include "layers/instance_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/var_mean.h>

#include <vector>

namespace dpm {
namespace {

constexpr double kEpsilon = 1e-5;

}  // namespace

InstanceNormPlus::InstanceNormPlus(ParameterList& list, const std::string& name, std::int64_t channels, std::int64_t levels)
    : conditional_(levels > 0) {
  const std::vector<std::int64_t> shape = conditional_ ? std::vector<std::int64_t>{levels, channels} : std::vector<std::int64_t>{channels};
  const Initializer near_one{Initializer::Kind::normal, 0.02, 1};
  weight_ = list.add(name + ".weight", shape, near_one);
  means_ = list.add(name + ".means", shape, near_one);
  bias_ = list.add(name + ".bias", shape, {});
}

at::Tensor InstanceNormPlus::row(const Pass& pass, ParameterIndex index, const at::Tensor& level) const {
  const at::Tensor& table = pass[index];
  const at::Tensor rows = conditional_ ? at::embedding(table, level) : table.unsqueeze(0);
  return rows.unsqueeze(-1).unsqueeze(-1);
}

at::Tensor InstanceNormPlus::operator()(const Pass& pass, const at::Tensor& given, const at::Tensor& level) const {
  const at::Tensor x = given.to(at::kFloat);  // half precision where autocast has made it so
  const auto [variance, mean] = at::var_mean(x, {2, 3}, 0, true);
  const auto [variance_of_means, mean_of_means] = at::var_mean(mean, at::IntArrayRef{1}, 1, true);
  const at::Tensor standing = (mean - mean_of_means) * at::rsqrt(variance_of_means + kEpsilon);
  const at::Tensor weight = row(pass, weight_, level);
  const at::Tensor scale = weight * at::rsqrt(variance + kEpsilon);
  return (x - mean) * scale + (weight * row(pass, means_, level) * standing + row(pass, bias_, level));
}

}  // namespace dpm
