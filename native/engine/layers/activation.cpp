#include "layers/activation.h"

#include <ATen/ops/gelu.h>
#include <ATen/ops/mish.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/silu.h>

#include <map>

#include "error.h"

namespace dpm {

Activation activation_of(const std::string& name) {
  static const auto* const names = new std::map<std::string, Activation>{
      {"silu", Activation::silu}, {"mish", Activation::mish}, {"gelu", Activation::gelu}, {"relu", Activation::relu}};
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
    default:
      return at::silu(x);
  }
}

}  // namespace dpm
