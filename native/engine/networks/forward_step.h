// What a network is that learns the forward process too: lib/diffusion/forward-step.ts has the formulas.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>

#include "networks/network.h"

namespace dpm {

class ForwardStep {
 public:
  virtual ~ForwardStep() = default;
  // What is mixed with noise instead of the images at the levels of these labels, N×C×H×W: x + gate f(x, label). labels: N; gate:
  // N×1×1×1. Two calls of one pass have the same dropout.
  virtual at::Tensor encode(Pass& pass, const at::Tensor& x, const at::Tensor& labels, const at::Tensor& gate) const = 0;
};

// Null where a network does not learn it.
inline const ForwardStep* forward_step_of(const Network& network) { return dynamic_cast<const ForwardStep*>(&network); }

// The same outside training, without gradients. Throws DPM_INVALID_ARGUMENT when the network has none or a shape does not fit.
at::Tensor encoded(const WeightedNetwork& network, const at::Tensor& x, const at::Tensor& labels, const at::Tensor& gate);

}  // namespace dpm
