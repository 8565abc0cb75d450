// Pointwise nonlinearities by name.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>

namespace dpm {

// gelu is the exact one, x Φ(x); mish is x tanh(ln(1 + e^x)); elu has slope 1, leaky_relu 0.2 below 0.
enum class Activation { silu, mish, gelu, relu, elu, leaky_relu };

// Throws DPM_INVALID_OPTION for a name that is none.
Activation activation_of(const std::string& name);

at::Tensor activate(Activation activation, const at::Tensor& x);

}  // namespace dpm
