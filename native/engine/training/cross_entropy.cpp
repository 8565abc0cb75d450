#include "training/cross_entropy.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <string>

#include "error.h"

namespace dpm {

void check_targets(const Batch& batch, const Network& network) {
  const std::vector<std::int64_t> shape = network.output_shape();
  DPM_CHECK(shape.size() == 1, "DPM_INVALID_ARGUMENT",
            "The loss \"cross-entropy\" teaches a classifier, but the network gives images of " + shape_text(shape) + ". Choose another loss.");
  DPM_CHECK(!batch.bounded() && !batch.row_gradients, "DPM_INVALID_ARGUMENT",
            "The cross-entropy has no bound and no row gradients. Set the rows' `boundWeight` to 0 and `rowGradients` to false.");
  const std::int64_t count = batch.images.size(0), logits = shape[0];
  DPM_CHECK(batch.classes.defined() && batch.classes.numel() == count, "DPM_INVALID_ARGUMENT",
            "Expected " + std::to_string(count) + " `classes`, what a classifier should say of each image, but received " +
                std::to_string(batch.classes.defined() ? batch.classes.numel() : 0) + ".");
  const std::int64_t* const values = batch.classes.const_data_ptr<std::int64_t>();
  for (std::int64_t n = 0; n < count; ++n) {
    DPM_CHECK(values[n] >= 0 && values[n] < logits, "DPM_INVALID_ARGUMENT",
              "Expected a whole number from 0 to " + std::to_string(logits - 1) + " for `classes[" + std::to_string(n) + "]` but received " +
                  std::to_string(values[n]) + ".");
  }
}

at::Tensor cross_entropy_gradient(const Batch& batch, const at::Tensor& logits, StepReport& report) {
  const at::NoGradGuard no_grad;
  const at::Tensor classes = batch.classes.to(logits.device()).view({-1, 1});
  const at::Tensor logarithms = at::log_softmax(logits.detach(), 1, at::kDouble);
  const at::Tensor losses = -logarithms.gather(1, classes).to(at::kCPU).contiguous();
  std::copy_n(losses.const_data_ptr<double>(), batch.rows.size(), report.losses.begin());
  std::vector<double> weights;
  for (const Row& row : batch.rows) weights.push_back(row.weight / batch.total);
  const at::Tensor shares = at::tensor(weights, at::TensorOptions().dtype(at::kDouble)).view({-1, 1}).to(logits.device());
  at::Tensor gradient = logarithms.exp() * shares;
  gradient.scatter_add_(1, classes, -shares);
  return gradient.to(at::kFloat);
}

}  // namespace dpm
