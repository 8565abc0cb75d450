#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/sin.h>

#include <cmath>

#include "error.h"
#include "layers/layers.h"

namespace dpm {

at::Tensor time_embedding(const at::Tensor& labels, std::int64_t channels, const std::string& kind) {
  DPM_CHECK(channels % 2 == 0, "DPM_INVALID_OPTION", "The time embedding needs an even number of channels.");
  const std::int64_t half = channels / 2;
  const bool closed = kind == "ddpm";  // the last frequency is exactly 1e-4
  const double factor = kind == "wavegrad" ? 5000.0 : 1.0;
  const double rate = -std::log(1e4) / static_cast<double>(closed ? half - 1 : half);
  // Angles up to 1000 in float32 lose 1e-4 of a turn; they are few, so float64.
  const at::Tensor frequencies = at::exp(at::arange(half, labels.options().dtype(at::kDouble)) * rate);
  const at::Tensor angles = labels.to(at::kDouble).unsqueeze(1) * factor * frequencies.unsqueeze(0);
  const at::Tensor sine = at::sin(angles), cosine = at::cos(angles);
  return at::cat(kind == "improved" ? at::TensorList{cosine, sine} : at::TensorList{sine, cosine}, 1).to(at::kFloat);
}

}  // namespace dpm
