// First values of weights, by the name of the scheme.
#pragma once
#include <cmath>

#include "layers/layers.h"

namespace dpm {

// DDPM: variance scaling with the mean of fan in and fan out, uniform (its "scale 0" layers really use 1e-10).
// PyTorch: uniform in ±1/sqrt(fan in).
inline Initializer weight_initializer(const Initialization& start, Role role, std::int64_t fan_in, std::int64_t fan_out) {
  double scale = 1;
  if (role == Role::last) {
    if (start.last == Initialization::Last::zero) return {Initializer::Kind::zeros, 0};
    if (start.last == Initialization::Last::tiny) scale = 1e-10;
  }
  const double fan = start.torch ? 3.0 * static_cast<double>(fan_in) : static_cast<double>(fan_in + fan_out) / 2;
  return {Initializer::Kind::uniform, std::sqrt(3.0 * scale / fan)};
}

inline Initializer bias_initializer(const Initialization& start, Role role, std::int64_t fan_in) {
  const bool zero = !start.torch || (role == Role::last && start.last != Initialization::Last::like_others);
  return zero ? Initializer{} : Initializer{Initializer::Kind::uniform, 1 / std::sqrt(static_cast<double>(fan_in))};
}

}  // namespace dpm
