// First values of weights, by the name of the scheme.
#pragma once
#include "layers/layers.h"

namespace dpm {

// The laws are stated in lib/networks/initialization.ts; fans count a kernel's positions.
Initializer weight_initializer(const Initialization& start, Role role, std::int64_t fan_in, std::int64_t fan_out);

// PyTorch's biases are uniform in ±1/sqrt(fan in), all others 0.
Initializer bias_initializer(const Initialization& start, Role role, std::int64_t fan_in);

}  // namespace dpm
