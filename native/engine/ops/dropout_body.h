// Body of dropout: one counter block decides four elements of one example.
#pragma once
#include "ops/noise_body.h"

namespace dpm {

DPM_KERNEL float dropout_factor(const DropoutArguments& a) { return 1.0f / (1.0f - a.probability); }

// kept[lane] = 0, or the factor that makes up for the dropped ones.
DPM_KERNEL void dropout_block(const DropoutArguments& a, std::uint32_t example, std::uint32_t epoch, std::int64_t block, float factor, float* kept) {
  const std::uint32_t tag = static_cast<std::uint32_t>(Purpose::dropout) | (a.site << 8);
  const Words words = philox(static_cast<std::uint32_t>(block), example, epoch, tag, a.key);
  kept[0] = uniform_of(words.w0) < a.probability ? 0.0f : factor;
  kept[1] = uniform_of(words.w1) < a.probability ? 0.0f : factor;
  kept[2] = uniform_of(words.w2) < a.probability ? 0.0f : factor;
  kept[3] = uniform_of(words.w3) < a.probability ? 0.0f : factor;
}

}  // namespace dpm
