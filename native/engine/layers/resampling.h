// Half and double size through the filter [1, 3, 3, 1] / 8 in each direction, which keeps high frequencies from folding over
// (Zhang 2019, arXiv 1904.11486; StyleGAN2's and NCSN++'s "FIR" resampling).
#pragma once
#include <ATen/core/Tensor.h>

namespace dpm {

// What lies around the image: nothing, or the image mirrored at its border pixels, which are not repeated.
enum class Border { zeros, mirrored };

// N×C×H×W → N×C×⌊H/2⌋×⌊W/2⌋.
at::Tensor smooth_half_size(const at::Tensor& x, Border border);

// N×C×H×W → N×C×2H×2W; a constant image stays as it is, but for its border where zeros are around it.
at::Tensor smooth_double_size(const at::Tensor& x, Border border);

// Filtered at full size, N×C×(H+1)×(W+1): a 3×3 convolution of stride 2 without padding then gives half the size. The filter is
// that above, or [1, 1] / 2; zeros are around the image.
at::Tensor before_halving(const at::Tensor& x, bool smooth);

}  // namespace dpm
