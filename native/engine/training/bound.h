// The variational bound's term of each example, and its gradient.
#pragma once
#include "training/batch.h"

namespace dpm {

// A term of the bound of Ho et al. 2020 (arXiv 2006.11239, eq. 5) with the variance of Nichol and Dhariwal 2021 (arXiv
// 2102.09672, eq. 15), in nats per element, from the numbers of a row. F is the first half of the output's channels, v the
// second, in [-1, 1] where it has been learned well:
//   logvar = boundLow + (boundHigh - boundLow) (v + 1) / 2, or boundLow where the network has no second half;
//   boundDecoder 0: KL of the posterior (log variance boundVariance, mean off by boundScale (F - target)) from the model's;
//   boundDecoder 1: -log of the discretised Gaussian of mean x0 + boundScale (F - target) at x0: bins of half-width 1/255,
//   the outermost open, the normal's distribution function by its tanh approximation, probabilities of at least 1e-12.
// Rows whose boundWeight is 0 are left alone. Adds to `gradient`, the output's, that of sum_n boundWeight_n bound_n / total,
// to `report.bounds` the terms, and where the batch asks for row gradients the bound's own columns to these.
void add_bound(const Batch& batch, const at::Tensor& output, const at::Tensor& target, at::Tensor& gradient, StepReport& report);

}  // namespace dpm
