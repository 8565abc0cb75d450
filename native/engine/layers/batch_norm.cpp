#include "layers/batch_norm.h"

#include <ATen/ops/batch_norm.h>

#include "error.h"

namespace dpm {

BatchNorm::BatchNorm(ParameterList& list, const std::string& name, std::int64_t channels)
    : weight_(list.add(name + ".weight", {channels}, {Initializer::Kind::ones, 0})),
      bias_(list.add(name + ".bias", {channels}, {Initializer::Kind::zeros, 0})),
      mean_(list.add_statistic(name + ".mean", {channels}, {Initializer::Kind::zeros, 0})),
      variance_(list.add_statistic(name + ".variance", {channels}, {Initializer::Kind::ones, 0})) {}

at::Tensor BatchNorm::operator()(const Pass& pass, const at::Tensor& x) const {
  DPM_CHECK(!pass.training || x.numel() > x.size(1), "DPM_INVALID_ARGUMENT",
            "Batch normalisation needs more than one value per channel to learn from. Train with a (micro-)batch of at least 2.");
  // A second run of the same batch must not move them twice.
  const bool noting = !pass.training || !pass.recomputing;
  // Half precision where autocast has made it so; statistics stay in float32.
  return at::batch_norm(x.to(at::kFloat), pass[weight_], pass[bias_], noting ? pass[mean_] : at::Tensor(), noting ? pass[variance_] : at::Tensor(),
                        pass.training, 0.1, 1e-5, true);
}

}  // namespace dpm
