// Images and their noise, mixed by rows of numbers.
#pragma once
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

// Squared distances between every image (row) and every noise (column), N×N float64: what pairs them in minibatch optimal
// transport (Tong et al. 2023, arXiv 2302.00482; Pooladian et al. 2023, arXiv 2304.14772).
at::Tensor pairing_costs(const Batch& batch);

}  // namespace dpm
