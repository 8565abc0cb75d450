#include "ops/amx_tiles.h"

#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,amx-tile,amx-bf16")

namespace dpm::cpu::amx {
namespace {

using c10::BFloat16;

struct alignas(64) TileSettings {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Channels c … c + 15 of two pixels, alternating.
inline __m512i pair_of(const BFloat16* first, const BFloat16* second, std::int64_t c, __mmask16 mask) {
  const __m512i order =
      _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const __m256i a = first ? _mm256_maskz_loadu_epi16(mask, first + c) : _mm256_setzero_si256();
  const __m256i b = second ? _mm256_maskz_loadu_epi16(mask, second + c) : _mm256_setzero_si256();
  return _mm512_permutexvar_epi16(order, _mm512_maskz_inserti64x4(0xff, _mm512_castsi256_si512(a), b, 1));
}

inline __mmask16 mask_of(std::int64_t channels, std::int64_t c) {
  const std::int64_t left = channels - c;
  return left >= kTile ? 0xffff : left <= 0 ? 0 : static_cast<__mmask16>((1U << left) - 1U);
}

// 16 rows of 16 numbers of 32 bits → columns.
inline void transpose(__m512i (&r)[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 8; ++i) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
  }
}

}  // namespace

void begin_tiles() {
  // In constant memory: GCC 12 takes the instruction to read no more than the first 8 bytes of a local.
  static constexpr TileSettings settings;
  _tile_loadconfig(&settings);
}

void end_tiles() { _tile_release(); }

void pack_gradients(const BFloat16* const* pixels, std::int64_t tiles, std::int64_t channels, std::int64_t begin, std::int64_t end,
                    std::int64_t stride, std::uint32_t* packed, float* sums) {
  for (std::int64_t c = begin; c < end; c += kTile, packed += stride) {
    const __mmask16 mask = mask_of(channels, c);
    __m512 sum = _mm512_setzero_ps();
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      __m512i rows[16];
      for (int j = 0; j < 16; ++j) {
        rows[j] = pair_of(pixels[tile * kDepth + 2 * j], pixels[tile * kDepth + 2 * j + 1], c, mask);
        const __m512 even = _mm512_castsi512_ps(_mm512_slli_epi32(rows[j], 16));
        const __m512 odd = _mm512_castsi512_ps(_mm512_and_si512(rows[j], _mm512_set1_epi32(-65536)));
        sum = _mm512_add_ps(sum, _mm512_add_ps(even, odd));
      }
      transpose(rows);
      for (int j = 0; j < 16; ++j) _mm512_store_si512(packed + tile * kTileNumbers + j * kTile, rows[j]);
    }
    if (sums != nullptr) _mm512_mask_storeu_ps(sums + c, mask, _mm512_add_ps(_mm512_maskz_loadu_ps(mask, sums + c), sum));
  }
}

void pack_inputs(const BFloat16* const* pixels, std::int64_t rows, std::int64_t channels, std::int64_t begin, std::int64_t end,
                 std::uint32_t* packed) {
  for (std::int64_t c = begin; c < end; c += kTile) {
    const __mmask16 mask = mask_of(channels, c);
    for (int odd = 0; odd < 2; ++odd) {
      for (std::int64_t j = 0; j < rows; ++j, packed += kTile) {
        _mm512_store_si512(packed, pair_of(pixels[2 * j + odd], pixels[2 * j + odd + 1], c, mask));
      }
    }
  }
}

void multiply(const std::uint32_t* a, std::int64_t a_block, const std::uint32_t* b, std::int64_t b_block, std::int64_t tiles, bool first,
              float* sums) {
  constexpr int stride = 64;
  if (first) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  } else {
    _tile_loadd(0, sums, stride);
    _tile_loadd(1, sums + kTileNumbers, stride);
    _tile_loadd(2, sums + 2 * kTileNumbers, stride);
    _tile_loadd(3, sums + 3 * kTileNumbers, stride);
  }
  for (std::int64_t tile = 0; tile < tiles; ++tile, a += kTileNumbers, b += kTileNumbers) {
    _tile_loadd(4, a, stride);
    _tile_loadd(6, b, stride);
    _tile_loadd(7, b + b_block, stride);
    _tile_loadd(5, a + a_block, stride);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, sums, stride);
  _tile_stored(1, sums + kTileNumbers, stride);
  _tile_stored(2, sums + 2 * kTileNumbers, stride);
  _tile_stored(3, sums + 3 * kTileNumbers, stride);
}

}  // namespace dpm::cpu::amx

#pragma GCC pop_options
