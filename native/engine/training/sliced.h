// Sliced score matching.
#pragma once
#include <functional>

#include "training/batch.h"

namespace dpm {

// The variance-reduced objective of Song et al. 2019 (arXiv 1905.07088, eq. 8) of each example, N float64, divided by the
// number of elements D: (v' grad_x(v' s) + |s|^2 / 2) / D with the score s(x) = -F(cIn x) / sigma of a network that predicts
// the noise, at the mixed image x, and v standard normals keyed by (seed, probe, epoch, example, element).
// `forward` must give an output whose gradient can be differentiated; so can the result, by the weights.
at::Tensor sliced_losses(const Batch& batch, const at::Tensor& input, const std::function<at::Tensor(const at::Tensor&)>& forward);

}  // namespace dpm
