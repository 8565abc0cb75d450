// InstanceNorm++ of NCSN.
#pragma once
#include <string>

#include "networks/network.h"

namespace dpm {

// InstanceNorm++ (Song and Ermon 2019, arXiv 1907.05600, appendix A): every channel of an image is normalised by its own mean
// and (biased) variance over the positions, and gets back what that took, how its mean m stands among the image's channels:
//   y = weight (norm(x) + means (m - mean(m)) / sqrt(var(m) + eps)) + bias,
// var(m) unbiased, eps 1e-5 in both. Weight and means start as N(1, 0.02²), bias at 0.
class InstanceNormPlus {
 public:
  // With levels, each has a weight, means and a bias of its own: levels × channels; without (0), one of C serves all.
  InstanceNormPlus(ParameterList& list, const std::string& name, std::int64_t channels, std::int64_t levels);
  // x: N×C×H×W, C at least 2. level: N int64 indices, read where there are levels.
  at::Tensor operator()(const Pass& pass, const at::Tensor& x, const at::Tensor& level) const;

 private:
  // N×C×1×1, or 1×C×1×1.
  at::Tensor row(const Pass& pass, ParameterIndex index, const at::Tensor& level) const;

  ParameterIndex weight_, means_, bias_;
  bool conditional_;
};

}  // namespace dpm
