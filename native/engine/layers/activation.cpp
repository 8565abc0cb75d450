#include "layers/activation.h"

#include <ATen/ops/elu.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/leaky_relu.h>
#include <ATen/ops/mish.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/silu.h>

#include <map>

#include "error.h"

namespace dpm {

Activation activation_of(const std::string& name) {
  static const auto* const names =
      new std::map<std::string, Activation>{{"silu", Activation::silu}, {"mish", Activation::mish}, {"gelu", Activation::gelu},
                                            {"relu", Activation::relu}, {"elu", Activation::elu},   {"leaky-relu", Activation::leaky_relu}};
  const auto found = names->find(name);
  DPM_CHECK(found != names->end(), "DPM_INVALID_OPTION", "There is no native activation named \"" + name + "\".");
  return found->second;
}

at::Tensor activate(Activation activation, const at::Tensor& x) {
  switch (activation) {
    case Activation::mish:
      return at::mish(x);
    case Activation::gelu:
      return at::gelu(x);
    case Activation::relu:
      return at::relu(x);
    case Activation::elu:
      return at::elu(x);
    case Activation::leaky_relu:
      return at::leaky_relu(x, 0.2);
    default:
      return at::silu(x);
  }
}

}  // namespace dpm
