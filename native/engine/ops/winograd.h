// Convolutions 3×3, stride 1, padding 1, of float32 images with 2.25 times fewer products: Winograd's minimal filtering
// F(2×2, 3×3) (Lavin and Gray 2016, arXiv 1509.09308). Its rounding error is that of the direct sum, or less.
//
// A tile of 2×2 outputs is Aᵀ [ (G w Gᵀ) ∘ (Bᵀ x B) ] A with x its 4×4 inputs and w the filter; summed over channels, the
// products at each of the 16 places are one matrix product, tiles × in by in × out.
#pragma once
#include <cstdint>

namespace dpm::cpu {

// All images channels-last in memory.
struct WinogradShape {
  std::int64_t count, height, width, in, out;

  std::int64_t tiles_down() const { return (height + 1) / 2; }
  std::int64_t tiles_across() const { return (width + 1) / 2; }
  std::int64_t tiles() const { return count * tiles_down() * tiles_across(); }
  // Of the convolution that carries gradients back: from out to in channels.
  WinogradShape reversed() const { return {count, height, width, out, in}; }
};

// Whether the processor has the instructions, the channels fill its registers, and there are tiles enough to repay the
// transforms of the weights.
bool winograd_fits(const WinogradShape& shape);

// weight: out × 3 × 3 × in, as channels-last weights lie in memory. bias: `out` numbers or null.
void winograd_forward(const WinogradShape& shape, const float* x, const float* weight, const float* bias, float* y);

// The gradient of x from that of y.
void winograd_backward_data(const WinogradShape& shape, const float* dy, const float* weight, float* dx);

// The gradient of the weight, as it lies in memory, from x and the gradient of y. Sums run in an order that depends on the
// number of threads.
void winograd_backward_weight(const WinogradShape& shape, const float* x, const float* dy, float* dweight);

// Floats left free between the matrices of the 16 places in scratch memory.
constexpr std::int64_t kPlaneGap = 16;

// What one instruction set gives; `lanes` floats in a register.
struct WinogradKernels {
  std::int64_t lanes;
  // Tiles that share a pass over the weights: a multiple of this is best.
  std::int64_t rows;
  // (G w Gᵀ) for columns begin … end of `out` (multiples of 2 lanes, or the end), from taps 9 × in × out.
  void (*pack)(const float* taps, std::int64_t in, std::int64_t out, std::int64_t begin, std::int64_t end, float* packed);
  // Tiles begin … end; scratch: 16 × (block rounded up to rows × (in + out) + 2 gaps) floats, and max(in, out) zeros after them.
  void (*forward)(const WinogradShape& shape, const float* x, const float* packed, const float* bias, float* y, std::int64_t begin, std::int64_t end,
                  std::int64_t block, float* scratch);
  // sums: 16 × out × in, set by the tiles begin … end.
  void (*backward_weight)(const WinogradShape& shape, const float* x, const float* dy, float* sums, std::int64_t begin, std::int64_t end,
                          std::int64_t block, float* scratch);
  // Rows begin … end of `out`: Gᵀ (sum over slices) G.
  void (*finish_weight)(const float* sums, std::int64_t slices, std::int64_t in, std::int64_t out, std::int64_t begin, std::int64_t end,
                        float* dweight);
};

const WinogradKernels& winograd_avx2();
const WinogradKernels& winograd_avx512();

}  // namespace dpm::cpu
