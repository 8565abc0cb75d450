// A convolution of stride 1 that keeps the size, by whichever kernel fits: Winograd's, that for 1×1, matrix tiles, or libtorch's.
#pragma once
#include <ATen/core/Tensor.h>

#include <optional>

#include "layers/layers.h"

namespace dpm {

// weight: O×C×k×k.
at::Tensor convolve(const Pass& pass, const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias, const Kernel& kernel);

}  // namespace dpm
