// The gradient of a convolution's weight from bfloat16 images, on processors with matrix tiles (AMX): k×k, stride 1, padding
// (k - 1) / 2. Sums are float32. oneDNN's own reaches a tenth to a third of the tiles' speed where images are small.
//
// Images are laid out in one row of pixels with a zero pixel after every line and a zero line after every image. Then a tap is
// a shift of the whole row, and the gradient for one tap one matrix product over all pixels, out × pixels by pixels × in.
#pragma once
#include <c10/util/BFloat16.h>

#include <cstdint>

namespace dpm::cpu {

// Images are channels-last; size: 1 or 3, of the kernel.
struct WeightGradientShape {
  std::int64_t count, height, width, in, out, size;
};

// Whether processor and system have tiles for bfloat16; asks the system for them the first time. DPM_TORCH_AMX=0: never.
bool weight_gradient_amx_available();

// dweight: out × k × k × in, as channels-last weights lie in memory. dbias: `out` sums of dy, or null. Both are the same for any
// number of threads.
void weight_gradient_amx(const WeightGradientShape& shape, const c10::BFloat16* x, const c10::BFloat16* dy, float* dweight, float* dbias);

}  // namespace dpm::cpu
