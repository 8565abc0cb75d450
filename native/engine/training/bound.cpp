#include "training/bound.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <cstddef>

namespace dpm {
namespace {

// The columns that the bound is differentiated by, in the order of Columns below.
constexpr double Row::*kColumns[] = {&Row::bound_scale, &Row::bound_variance, &Row::bound_low, &Row::bound_high, &Row::bound_weight};

struct Columns {
  at::Tensor scale, variance, low, high, weight;
};

// Place of a column in a row.
std::size_t place_of(double Row::*column) {
  const Row row{};
  return static_cast<std::size_t>(&(row.*column) - &row.alpha);
}

at::Tensor divergence(const at::Tensor& difference, const at::Tensor& logvar, const Columns& c) {
  return 0.5 * (-1 + logvar - c.variance + at::exp(c.variance - logvar) + (c.scale * difference).square() * at::exp(-logvar));
}

at::Tensor normal_distribution(const at::Tensor& z) { return 0.5 * (1 + at::tanh(std::sqrt(2 / M_PI) * (z + 0.044715 * z.pow(3)))); }

at::Tensor surprise(const at::Tensor& difference, const at::Tensor& logvar, const Columns& c, const at::Tensor& clean) {
  const at::Tensor inverse = at::exp(-0.5 * logvar), off = -c.scale * difference;
  const at::Tensor above = normal_distribution(inverse * (off + 1.0 / 255)), below = normal_distribution(inverse * (off - 1.0 / 255));
  const at::Tensor probability = at::where(clean < -0.999, above, at::where(clean > 0.999, 1 - below, above - below));
  return -probability.clamp_min(1e-12).log();
}

// Rows with a bound of one kind: the decoder's or a divergence.
std::vector<std::int64_t> rows_of(const std::vector<Row>& rows, bool decoder) {
  std::vector<std::int64_t> indices;
  for (std::size_t n = 0; n < rows.size(); ++n) {
    if (rows[n].bound_weight != 0 && (rows[n].bound_decoder != 0) == decoder) indices.push_back(static_cast<std::int64_t>(n));
  }
  return indices;
}

void add_terms(const Batch& batch, bool decoder, const at::Tensor& output, const at::Tensor& target, at::Tensor& gradient, StepReport& report) {
  const std::vector<std::int64_t> indices = rows_of(batch.rows, decoder);
  if (indices.empty()) return;
  const at::Device device = output.device();
  const std::int64_t channels = target.size(1);
  const at::Tensor chosen = at::tensor(indices, at::TensorOptions().dtype(at::kLong)).to(device);
  // float64: a divergence near 0 is the difference of terms near 1.
  const at::Tensor out = output.detach().index_select(0, chosen).to(at::kDouble).requires_grad_(true);
  std::vector<at::Tensor> inputs{out};
  for (double Row::*column : kColumns) inputs.push_back(column_of(batch.rows, indices, column, device).requires_grad_(batch.row_gradients));
  const Columns c{inputs[1], inputs[2], inputs[3], inputs[4], inputs[5]};

  const at::Tensor mean = out.narrow(1, 0, channels);
  const at::Tensor difference = (batch.detach_mean ? mean.detach() : mean) - target.index_select(0, chosen);
  const at::Tensor learned = out.size(1) > channels ? (c.high - c.low) * (out.narrow(1, channels, channels) + 1) / 2 : at::Tensor();
  const at::Tensor logvar = learned.defined() ? c.low + learned : c.low;
  at::Tensor elements;
  if (decoder) {
    at::Tensor clean = batch.images.to(device).index_select(0, chosen).to(at::kDouble);
    if (batch.images.scalar_type() == at::kByte) clean = clean / 127.5 - 1;
    elements = surprise(difference, logvar, c, clean);
  } else {
    elements = divergence(difference, logvar, c);
  }
  const at::Tensor terms = elements.mean({1, 2, 3});
  const at::Tensor host = terms.detach().to(at::kCPU);
  for (std::size_t k = 0; k < indices.size(); ++k) report.bounds[static_cast<std::size_t>(indices[k])] = host.const_data_ptr<double>()[k];

  const at::Tensor loss = (terms * c.weight.flatten()).sum() / batch.total;
  if (!loss.requires_grad()) return;  // a fixed variance, and a mean that is not to be taught
  if (!batch.row_gradients) inputs.resize(1);
  const auto gradients = torch::autograd::grad({loss}, inputs, {}, false, false, true);
  if (gradients[0].defined()) gradient.index_add_(0, chosen, gradients[0].to(at::kFloat));
  constexpr std::size_t width = sizeof(Row) / sizeof(double);
  for (std::size_t i = 1; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) continue;
    const at::Tensor values = gradients[i].flatten().to(at::kCPU).contiguous();
    for (std::size_t k = 0; k < indices.size(); ++k) {
      report.row_gradients[static_cast<std::size_t>(indices[k]) * width + place_of(kColumns[i - 1])] = values.const_data_ptr<double>()[k];
    }
  }
}

}  // namespace

void add_bound(const Batch& batch, const at::Tensor& output, const at::Tensor& target, at::Tensor& gradient, StepReport& report) {
  const at::AutoGradMode with_gradient(true);
  for (const bool decoder : {false, true}) add_terms(batch, decoder, output, target, gradient, report);
}

}  // namespace dpm
