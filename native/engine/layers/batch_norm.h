// Batch normalisation.
#pragma once
#include <string>

#include "networks/network.h"

namespace dpm {

// Ioffe and Szegedy 2015 (arXiv 1502.03167), with the numbers of PyTorch's layer: eps 1e-5, momentum 0.1. While weights are
// learned, a channel is normalised by its mean and (biased) variance over the batch, and the running ones move a tenth of the
// way to them (to the unbiased variance); otherwise the running ones normalise, so that no example sees another. They are
// statistics, saved with the weights, and every micro-batch moves them; a batch that is dropped leaves them as they were.
class BatchNorm {
 public:
  BatchNorm() = default;
  BatchNorm(ParameterList& list, const std::string& name, std::int64_t channels);
  // x: N×C or N×C×H×W. Throws DPM_INVALID_ARGUMENT in training when there is but one value per channel.
  at::Tensor operator()(const Pass& pass, const at::Tensor& x) const;

 private:
  ParameterIndex weight_ = 0, bias_ = 0, mean_ = 0, variance_ = 0;
};

}  // namespace dpm
