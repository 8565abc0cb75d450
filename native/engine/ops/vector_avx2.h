// The registers of one instruction set, for the kernels that are written once for all: included in their namespace, after
// `#pragma GCC target`.

struct Vector {
  using Type = __m256;
  static constexpr std::int64_t lanes = 8;
  static constexpr int rows = 6, weight_rows = 4;

  static inline Type load(const float* from) { return _mm256_loadu_ps(from); }
  static inline void store(float* to, Type value) { _mm256_storeu_ps(to, value); }
  static inline Type zero() { return _mm256_setzero_ps(); }
  static inline Type spread(float value) { return _mm256_set1_ps(value); }
  static inline Type add(Type a, Type b) { return _mm256_add_ps(a, b); }
  static inline Type subtract(Type a, Type b) { return _mm256_sub_ps(a, b); }
  static inline Type multiply(Type a, Type b) { return _mm256_mul_ps(a, b); }
  static inline Type multiply_add(Type a, Type b, Type c) { return _mm256_fmadd_ps(a, b, c); }
};
