// Pieces of attention in registers, for one width of vectors. Everything is inlined into a function that is compiled for the
// instruction set, so that a tile stays in registers.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#define DPM_INLINE inline __attribute__((always_inline))

namespace dpm::cpu {

// kLanes floats a vector; products take kRows × 2 vectors of results at once.
template <int kLanes, int kRows>
struct Tiles {
  typedef float Vector __attribute__((vector_size(kLanes * 4), may_alias));
  typedef std::int32_t Integers __attribute__((vector_size(kLanes * 4), may_alias));

  static constexpr int lanes = kLanes;
  static constexpr int rows = kRows;

  static DPM_INLINE Vector load(const float* from) { return *reinterpret_cast<const Vector*>(from); }
  static DPM_INLINE void store(float* to, Vector value) { *reinterpret_cast<Vector*>(to) = value; }
  static DPM_INLINE Vector larger(Vector a, Vector b) { return a > b ? a : b; }
  static DPM_INLINE Vector all(float value) { return Vector{} + value; }

  // 2^x for x ≤ 0, at least 2^-126, relative error 1e-7: the power of the nearest whole number times a polynomial on
  // [-1/2, 1/2] (Cephes library, S. Moshier).
  static DPM_INLINE Vector power_of_two(Vector x) {
    x = larger(all(-126.0f), x);             // which keeps a NaN
    const Vector shifted = x + 12583039.0f;  // 1.5 · 2^23 + 127: the last bits are the exponent's
    const Vector r = x - (shifted - 12583039.0f);
    Vector p = all(1.535336188319500e-4f);
    p = p * r + 1.339887440266574e-3f;
    p = p * r + 9.618437357674640e-3f;
    p = p * r + 5.550332471162809e-2f;
    p = p * r + 2.402264791363012e-1f;
    p = p * r + 6.931472028550421e-1f;
    p = p * r + 1.0f;
    return p * reinterpret_cast<Vector>(reinterpret_cast<Integers>(shifted) << 23);
  }

  // c[r][v] = (c[r][v] +) sum over k < steps of a[r a_row + k a_step] b[k b_row + v], for kRows rows and kVectors vectors.
  template <int kVectors, bool kAdds>
  static DPM_INLINE void product(const float* a, std::int64_t a_row, std::int64_t a_step, const float* b, std::int64_t b_row, std::int64_t steps,
                                 float* c, std::int64_t c_row) {
    Vector sums[kRows][kVectors];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sums[r][v] = kAdds ? load(c + r * c_row + v * kLanes) : Vector{};
    }
    for (std::int64_t k = 0; k < steps; ++k) {
      Vector right[kVectors];
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) right[v] = load(b + k * b_row + v * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const float left = a[r * a_row + k * a_step];
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) sums[r][v] += left * right[v];
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) store(c + r * c_row + v * kLanes, sums[r][v]);
    }
  }

  // The same for all vectors of rows of `width` floats, a multiple of kLanes.
  template <bool kAdds>
  static DPM_INLINE void product_rows(const float* a, std::int64_t a_row, std::int64_t a_step, const float* b, std::int64_t b_row, std::int64_t steps,
                                      float* c, std::int64_t c_row, std::int64_t width) {
    std::int64_t v = 0;
    for (; v + 2 * kLanes <= width; v += 2 * kLanes) product<2, kAdds>(a, a_row, a_step, b + v, b_row, steps, c + v, c_row);
    if (v < width) product<1, kAdds>(a, a_row, a_step, b + v, b_row, steps, c + v, c_row);
  }
};

// The row of T as floats, with zeros up to `padded`.
template <typename T>
DPM_INLINE void unpack_row(const T* __restrict from, float* __restrict to, std::int64_t width, std::int64_t padded) {
  for (std::int64_t c = 0; c < width; ++c) to[c] = static_cast<float>(from[c]);
  for (std::int64_t c = width; c < padded; ++c) to[c] = 0.0f;
}

template <typename T>
DPM_INLINE void pack_row(const float* __restrict from, T* __restrict to, std::int64_t width, float factor) {
  for (std::int64_t c = 0; c < width; ++c) to[c] = static_cast<T>(from[c] * factor);
}

// to[c][i] = factor · from[i][c] for i < rows and c < columns, both multiples of 4.
DPM_INLINE void transpose(const float* from, std::int64_t from_row, float* to, std::int64_t to_row, std::int64_t rows, std::int64_t columns,
                          float factor) {
  typedef float Four __attribute__((vector_size(16), may_alias, aligned(4)));
  typedef std::int32_t Order __attribute__((vector_size(16)));
  for (std::int64_t i = 0; i < rows; i += 4) {
    for (std::int64_t c = 0; c < columns; c += 4) {
      const float* const at = from + i * from_row + c;
      const Four a = *reinterpret_cast<const Four*>(at) * factor, b = *reinterpret_cast<const Four*>(at + from_row) * factor;
      const Four d = *reinterpret_cast<const Four*>(at + 2 * from_row) * factor, e = *reinterpret_cast<const Four*>(at + 3 * from_row) * factor;
      const Four ab_low = __builtin_shuffle(a, b, Order{0, 4, 1, 5}), ab_high = __builtin_shuffle(a, b, Order{2, 6, 3, 7});
      const Four de_low = __builtin_shuffle(d, e, Order{0, 4, 1, 5}), de_high = __builtin_shuffle(d, e, Order{2, 6, 3, 7});
      float* const out = to + c * to_row + i;
      *reinterpret_cast<Four*>(out) = __builtin_shuffle(ab_low, de_low, Order{0, 1, 4, 5});
      *reinterpret_cast<Four*>(out + to_row) = __builtin_shuffle(ab_low, de_low, Order{2, 3, 6, 7});
      *reinterpret_cast<Four*>(out + 2 * to_row) = __builtin_shuffle(ab_high, de_high, Order{0, 1, 4, 5});
      *reinterpret_cast<Four*>(out + 3 * to_row) = __builtin_shuffle(ab_high, de_high, Order{2, 3, 6, 7});
    }
  }
}

}  // namespace dpm::cpu
