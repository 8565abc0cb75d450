// The registers of one instruction set, for the kernels that are written once for all: included in their namespace, after
// `#pragma GCC target`.

struct Vector {
  using Type = __m512;
  static constexpr std::int64_t lanes = 16;
  static constexpr int rows = 14, weight_rows = 8;

  static inline Type load(const float* from) { return _mm512_loadu_ps(from); }
  static inline void store(float* to, Type value) { _mm512_storeu_ps(to, value); }
  static inline Type zero() { return _mm512_setzero_ps(); }
  static inline Type spread(float value) { return _mm512_set1_ps(value); }
  static inline Type add(Type a, Type b) { return _mm512_add_ps(a, b); }
  static inline Type subtract(Type a, Type b) { return _mm512_sub_ps(a, b); }
  static inline Type multiply(Type a, Type b) { return _mm512_mul_ps(a, b); }
  static inline Type multiply_add(Type a, Type b, Type c) { return _mm512_fmadd_ps(a, b, c); }
};
