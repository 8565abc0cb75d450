#include "layers/initializers.h"

#include <cmath>
#include <map>

#include "error.h"

namespace dpm {
namespace {

using Scheme = Initialization::Scheme;

// Uniform with this variance.
Initializer uniform(double variance) { return {Initializer::Kind::uniform, std::sqrt(3 * variance)}; }
Initializer normal(double variance) { return {Initializer::Kind::normal, std::sqrt(variance)}; }

// `scale` multiplies the variance.
Initializer scaled_initializer(const Initialization& start, double fan_in, double fan_out, double scale) {
  const double he = 2 / (1 + start.slope * start.slope) / fan_in, xavier = 2 / (fan_in + fan_out);
  switch (start.scheme) {
    case Scheme::torch:
      return {Initializer::Kind::uniform, std::sqrt(scale / fan_in)};
    case Scheme::he_normal:
      return normal(scale * he);
    case Scheme::he_uniform:
      return uniform(scale * he);
    case Scheme::xavier_normal:
      return normal(scale * xavier);
    case Scheme::orthogonal:
      return {Initializer::Kind::orthogonal, std::sqrt(scale)};
    case Scheme::ddpm:
    case Scheme::xavier_uniform:
      break;
  }
  return uniform(scale * xavier);
}

}  // namespace

Scheme initialization_scheme(const std::string& name) {
  static const auto* const schemes = new std::map<std::string, Scheme>{
      {"ddpm", Scheme::ddpm},
      {"torch", Scheme::torch},
      {"he-normal", Scheme::he_normal},
      {"he-uniform", Scheme::he_uniform},
      {"xavier-normal", Scheme::xavier_normal},
      {"xavier-uniform", Scheme::xavier_uniform},
      {"orthogonal", Scheme::orthogonal},
  };
  const auto found = schemes->find(name);
  DPM_CHECK(found != schemes->end(), "DPM_INVALID_OPTION", "There is no initialization named \"" + name + "\".");
  return found->second;
}

Initializer weight_initializer(const Initialization& start, Role role, std::int64_t fan_in, std::int64_t fan_out) {
  if (role == Role::last && start.last == Initialization::Last::zero) return {};
  // One layer makes q, k and v, each of a third of its outputs.
  if (role == Role::attention) return scaled_initializer(start, static_cast<double>(fan_in), static_cast<double>(fan_out) / 3, start.attention);
  const bool tiny = role == Role::last && start.last == Initialization::Last::tiny;
  return scaled_initializer(start, static_cast<double>(fan_in), static_cast<double>(fan_out), tiny ? 1e-10 : 1);
}

Initializer bias_initializer(const Initialization& start, Role role, std::int64_t fan_in) {
  const bool zero = start.scheme != Scheme::torch || (role == Role::last && start.last != Initialization::Last::like_others);
  return zero ? Initializer{} : Initializer{Initializer::Kind::uniform, 1 / std::sqrt(static_cast<double>(fan_in))};
}

}  // namespace dpm
