// What weight_gradient_amx.cpp runs in instructions of its own: compiled apart, so that nothing else needs such a processor.
#pragma once
#include <c10/util/BFloat16.h>

#include <cstdint>

namespace dpm::cpu::amx {

constexpr std::int64_t kTile = 16;          // rows of a tile, and numbers of 32 bits in each
constexpr std::int64_t kTileNumbers = 256;  // of 32 bits: sums, or pairs of bfloat16
constexpr std::int64_t kDepth = 32;         // pixels that one product of tiles sums over
constexpr std::int64_t kBlock = 2 * kTile;  // channels of either side that share four tiles of sums

// Around every use of `multiply`, in its thread.
void begin_tiles();
void end_tiles();

// Tiles of 16 outputs × 32 pixels, for the outputs begin … end (multiples of kBlock), `stride` numbers from 16 outputs to the
// next. pixels: 32 · tiles, null for zeros. Adds every output's pixels to `sums`, if not null.
void pack_gradients(const c10::BFloat16* const* pixels, std::int64_t tiles, std::int64_t channels, std::int64_t begin, std::int64_t end,
                    std::int64_t stride, std::uint32_t* packed, float* sums);

// Pairs of pixels, for the inputs begin … end (multiples of kBlock), 16 a block: `rows` pairs that begin at even pixels, then as
// many that begin at odd ones. pixels: 2 · rows + 1.
void pack_inputs(const c10::BFloat16* const* pixels, std::int64_t rows, std::int64_t channels, std::int64_t begin, std::int64_t end,
                 std::uint32_t* packed);

// Adds to four tiles of sums (out 0, in 0; out 0, in 1; out 1, in 0; out 1, in 1), or sets them where `first`.
void multiply(const std::uint32_t* gradients, std::int64_t gradient_stride, const std::uint32_t* inputs, std::int64_t input_stride,
              std::int64_t tiles, bool first, float* sums);

}  // namespace dpm::cpu::amx
