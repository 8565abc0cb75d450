// Root-mean-square norm over the channels of each pixel (Zhang and Sennrich 2019, arXiv 1910.07467).
#pragma once
#include <string>

#include "layers/layers.h"

namespace dpm {

// weight * sqrt(C) * x / |x|, |x| the length over the C channels of N×C×H×W; at least 1e-12 divides. In float32 whatever x is.
class RmsNorm {
 public:
  RmsNorm() = default;
  RmsNorm(ParameterList& list, const std::string& name, std::int64_t channels);
  at::Tensor operator()(const Pass& pass, const at::Tensor& x) const;
  // silu(norm(x) * (1 + scale) + shift).
  at::Tensor silu(const Pass& pass, const at::Tensor& x, const Modulation& modulation = {}) const;

 private:
  ParameterIndex weight_ = 0;
};

}  // namespace dpm
