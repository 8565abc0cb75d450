// Images and their noise, mixed by rows of numbers.
#pragma once
#include "networks/forward_step.h"
#include "training/batch.h"

namespace dpm {

// N×C×H×W float32 each, channels-last in memory.
struct Mixture {
  at::Tensor input, target;
};

// input = cIn (alpha x0 + sigma noise), target = targetClean x0 + targetNoise noise, by the batch's rows.
Mixture mix(const Batch& batch, const at::Device& device);

// The parts: x0 and the noise.
struct Parts {
  at::Tensor clean, noise;
};
Parts parts_of(const Batch& batch, const at::Device& device);

// What an example needs of a learned forward step: `forwardStepFields` of lib/diffusion/forward-step.ts.
struct ForwardStepNumbers {
  double label_before, gate, gate_before, gain;
};

// The same mixture where a network F bends the forward step, differentiable by its weights:
//   input = cIn (alpha F_t + sigma noise), target = targetClean F_t + targetNoise noise + gain (F_s - F_t).
// labels: N, of the rows' own times. Throws DPM_INVALID_ARGUMENT unless every example has its numbers.
Mixture mix_through(const ForwardStep& step, const Batch& batch, Pass& pass, const at::Tensor& labels);

// Squared distances between every image (row) and every noise (column), N×N float64: what pairs them in minibatch optimal
// transport (Tong et al. 2023, arXiv 2302.00482; Pooladian et al. 2023, arXiv 2304.14772).
at::Tensor pairing_costs(const Batch& batch);

}  // namespace dpm
