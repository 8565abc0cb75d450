#include "training/sliced.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/autograd.h>

#include <numeric>

#include "error.h"
#include "ops/launch.h"
#include "profile.h"

namespace dpm {
namespace {

at::Tensor probes_of(const Batch& batch, const at::Tensor& like) {
  const at::Tensor probes = at::empty_like(like);  // channels-last
  const std::int64_t channels = like.size(1), spatial = like.size(2) * like.size(3);
  const Operation operation("dpm::normals", {}, {probes});
  for (std::size_t n = 0; n < batch.examples.size(); ++n) {
    float* const out = probes.mutable_data_ptr<float>() + static_cast<std::int64_t>(n) * channels * spatial;
    launch_normals(like.device(), {out, &batch.examples[n], 1, channels, spatial, key_of(batch.seed), static_cast<std::uint32_t>(Purpose::probe),
                                   static_cast<std::uint32_t>(batch.epochs[n]), true});
  }
  return probes;
}

}  // namespace

at::Tensor sliced_losses(const Batch& batch, const at::Tensor& input, const std::function<at::Tensor(const at::Tensor&)>& forward) {
  DPM_CHECK(!batch.bounded() && !batch.row_gradients, "DPM_INVALID_ARGUMENT",
            "Sliced score matching has no bound and no row gradients. Set the rows' `boundWeight` to 0 and `rowGradients` to false.");
  const at::AutoGradMode with_gradient(true);
  std::vector<std::int64_t> all(batch.rows.size());
  std::iota(all.begin(), all.end(), 0);
  const at::Device device = input.device();
  const auto column = [&](double Row::*name) { return column_of(batch.rows, all, name, device).to(at::kFloat); };

  const at::Tensor x = input.detach().requires_grad_(true);
  const at::Tensor probes = probes_of(batch, x);
  const at::Tensor output = forward(x);
  DPM_CHECK(output.size(1) == input.size(1), "DPM_INVALID_ARGUMENT", "Sliced score matching takes a network without a learned variance.");
  const at::Tensor score = -output / column(&Row::sigma);
  const at::Tensor slope = torch::autograd::grad({(probes * score).sum()}, {x}, {}, true, true)[0] * column(&Row::c_in);
  return (probes * slope + 0.5 * score.square()).mean({1, 2, 3}, false, at::kDouble);
}

}  // namespace dpm
