// Philox-4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) and normals from it.
//
// Every random value of the house is f(seed, purpose, step or epoch, example, element): counter = [element / 4, example,
// step, purpose], key = [seed low, seed high]. `lib/random/philox.ts` is the float64 twin. The body is shared by the CPU
// and CUDA kernels; with contraction of multiply-add off, both give the same bits.
#pragma once
#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#define DPM_KERNEL __host__ __device__ __forceinline__
#else
#define DPM_KERNEL inline __attribute__((always_inline))
#endif

namespace dpm {

// The same list as noisePurposes in lib/random/purposes.ts.
enum class Purpose : std::uint32_t {
  initial = 0,
  step = 1,
  training = 2,
  time = 3,
  dropout = 4,
  shuffle = 5,
  flip = 6,
  condition = 7,
  weights = 8,
  corrector = 9,
  forward = 10,
  churn = 11,
  dequantization = 12,
  probe = 13,
  coupling = 14,
};

struct Key {
  std::uint32_t low;
  std::uint32_t high;
};

struct Words {
  std::uint32_t w0, w1, w2, w3;
};

struct Normals {
  float n0, n1, n2, n3;
};

// Seeds are JavaScript safe integers: 53 bits.
DPM_KERNEL Key key_of(double seed) {
  const auto bits = static_cast<std::uint64_t>(seed);
  return {static_cast<std::uint32_t>(bits), static_cast<std::uint32_t>(bits >> 32)};
}

DPM_KERNEL Words philox(std::uint32_t c0, std::uint32_t c1, std::uint32_t c2, std::uint32_t c3, Key key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t first = std::uint64_t{0xD2511F53u} * c0;
    const std::uint64_t second = std::uint64_t{0xCD9E8D57u} * c2;
    const auto next0 = static_cast<std::uint32_t>(second >> 32) ^ c1 ^ key.low;
    const auto next2 = static_cast<std::uint32_t>(first >> 32) ^ c3 ^ key.high;
    c1 = static_cast<std::uint32_t>(second);
    c3 = static_cast<std::uint32_t>(first);
    c0 = next0;
    c2 = next2;
    key.low += 0x9E3779B9u;
    key.high += 0xBB67AE85u;
  }
  return {c0, c1, c2, c3};
}

// Uniform in (0, 1), exact in float32: 23 bits and a half.
DPM_KERNEL float uniform_of(std::uint32_t word) { return (static_cast<float>(word >> 9) + 0.5f) * 0x1p-23f; }

// Natural logarithm of u in [2^-24, 1); polynomial of the Cephes library (S. Moshier), error below 1 ulp.
DPM_KERNEL float log_of(float u) {
  std::uint32_t bits;
  std::memcpy(&bits, &u, 4);
  float exponent = static_cast<float>(static_cast<std::int32_t>(bits >> 23) - 126);
  bits = (bits & 0x007FFFFFu) | 0x3F000000u;
  float m;
  std::memcpy(&m, &bits, 4);
  const bool small = m < 0.70710678118654752f;
  exponent = small ? exponent - 1.0f : exponent;
  m = small ? m + m - 1.0f : m - 1.0f;
  const float square = m * m;
  float p = 7.0376836292e-2f;
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  float y = p * m * square;
  y = y + exponent * -2.12194440e-4f;
  y = y - 0.5f * square;
  return (m + y) + exponent * 0.693359375f;
}

// cos and sin of 2 pi u: the reduction to an eighth of a turn is exact, so the error stays near 6e-8.
DPM_KERNEL void turn(float u, float& cosine, float& sine) {
  const auto quarter = static_cast<std::int32_t>(u * 4.0f + 0.5f);
  const float angle = (u - static_cast<float>(quarter) * 0.25f) * 6.283185307179586f;
  const float z = angle * angle;
  const float s = ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f) * z * angle + angle;
  const float c = ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f) * z * z - 0.5f * z + 1.0f;
  const bool odd = (quarter & 1) != 0;
  const float a = odd ? s : c;
  const float b = odd ? c : s;
  cosine = ((quarter + 1) & 2) != 0 ? -a : a;
  sine = (quarter & 2) != 0 ? -b : b;
}

// Four standard normals by Box–Muller from one counter block.
DPM_KERNEL Normals normals_of(Words words) {
  const float radius0 = __builtin_sqrtf(-2.0f * log_of(uniform_of(words.w0)));
  const float radius1 = __builtin_sqrtf(-2.0f * log_of(uniform_of(words.w2)));
  float c0, s0, c1, s1;
  turn(uniform_of(words.w1), c0, s0);
  turn(uniform_of(words.w3), c1, s1);
  return {radius0 * c0, radius0 * s0, radius1 * c1, radius1 * s1};
}

}  // namespace dpm
