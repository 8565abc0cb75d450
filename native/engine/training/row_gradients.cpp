#include "training/row_gradients.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include "training/mixture.h"

namespace dpm {

void add_row_gradients(const Batch& batch, const at::Tensor& by_input, const at::Tensor& by_labels, const at::Tensor& by_output, StepReport& report) {
  const at::NoGradGuard no_grad;
  const Parts parts = parts_of(batch, by_input.device());
  const auto along = [](const at::Tensor& gradient, const at::Tensor& part) {
    return (gradient * part).sum({1, 2, 3}, false, at::kDouble).to(at::kCPU);
  };
  const at::Tensor input_clean = along(by_input, parts.clean), input_noise = along(by_input, parts.noise);
  const at::Tensor output_clean = along(by_output, parts.clean), output_noise = along(by_output, parts.noise);
  const at::Tensor labels = by_labels.to(at::kCPU, at::kDouble).contiguous();
  const auto at = [](const at::Tensor& values, std::size_t n) { return values.const_data_ptr<double>()[n]; };
  constexpr std::size_t width = sizeof(Row) / sizeof(double);
  for (std::size_t n = 0; n < batch.rows.size(); ++n) {
    const Row& row = batch.rows[n];
    double* const out = report.row_gradients.data() + n * width;
    out[0] = row.c_in * at(input_clean, n);
    out[1] = row.c_in * at(input_noise, n);
    out[2] = row.alpha * at(input_clean, n) + row.sigma * at(input_noise, n);
    out[3] = at(labels, n);
    out[4] = -at(output_clean, n);
    out[5] = -at(output_noise, n);
    out[6] = report.losses[n] / batch.total;
  }
}

}  // namespace dpm
