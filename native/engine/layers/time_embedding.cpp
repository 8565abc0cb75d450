#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/sin.h>

#include <cmath>

#include "error.h"
#include "layers/layers.h"

namespace dpm {

at::Tensor sinusoids(const at::Tensor& labels, std::int64_t channels, double shift, bool cosine_first) {
  const std::int64_t half = channels / 2;
  const double rate = -std::log(1e4) / (static_cast<double>(half) - shift);
  // Angles up to 1000 in float32 lose 1e-4 of a turn; they are few, so float64.
  const at::Tensor frequencies = at::exp(at::arange(half, labels.options().dtype(at::kDouble)) * rate);
  const at::Tensor angles = labels.to(at::kDouble).unsqueeze(1) * frequencies.unsqueeze(0);
  const at::Tensor sine = at::sin(angles), cosine = at::cos(angles);
  const at::Tensor pairs = at::cat(cosine_first ? at::TensorList{cosine, sine} : at::TensorList{sine, cosine}, 1).to(at::kFloat);
  return channels % 2 == 0 ? pairs : at::constant_pad_nd(pairs, {0, 1});
}

at::Tensor time_embedding(const at::Tensor& labels, std::int64_t channels, const std::string& kind) {
  DPM_CHECK(channels % 2 == 0, "DPM_INVALID_OPTION", "The time embedding needs an even number of channels.");
  // Of DDPM's sinusoids the last frequency is exactly 1e-4.
  return sinusoids(kind == "wavegrad" ? labels.to(at::kDouble) * 5000.0 : labels, channels, kind == "ddpm" ? 1 : 0, kind == "improved");
}

}  // namespace dpm
