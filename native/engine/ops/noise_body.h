// Element bodies of the noise kernels: one counter block is four elements of one example.
#pragma once
#include "ops/kernels.h"

namespace dpm {

DPM_KERNEL std::uint32_t counter_of(double index) { return static_cast<std::uint32_t>(static_cast<std::uint64_t>(index)); }

DPM_KERNEL void normal_block(const NormalArguments& a, std::int64_t n, std::int64_t block) {
  const std::int64_t size = a.channels * a.spatial;
  const Normals draws = normals_of(philox(static_cast<std::uint32_t>(block), counter_of(a.examples[n]), a.step, a.purpose, a.key));
  const float values[4] = {draws.n0, draws.n1, draws.n2, draws.n3};
  for (int lane = 0; lane < 4; ++lane) {
    const std::int64_t i = block * 4 + lane;
    if (i >= size) return;
    const std::int64_t at = a.channels_last ? (i % a.spatial) * a.channels + i / a.spatial : i;
    a.out[n * size + at] = values[lane];
  }
}

DPM_KERNEL void noise_step_block(const NoiseStepArguments& a, std::int64_t n, std::int64_t block) {
  const std::int64_t size = a.channels * a.spatial;
  const Row row = a.rows[n];
  const Normals draws = normals_of(philox(static_cast<std::uint32_t>(block), counter_of(a.examples[n]), counter_of(a.epochs[n]),
                                          static_cast<std::uint32_t>(Purpose::training), a.key));
  const float values[4] = {draws.n0, draws.n1, draws.n2, draws.n3};
  const auto clean_in = static_cast<float>(row.c_in * row.alpha);
  const auto noise_in = static_cast<float>(row.c_in * row.sigma);
  const auto clean_target = static_cast<float>(row.target_clean);
  const auto noise_target = static_cast<float>(row.target_noise);
  for (int lane = 0; lane < 4; ++lane) {
    const std::int64_t i = block * 4 + lane;
    if (i >= size) return;
    const float clean = a.bytes ? static_cast<float>(static_cast<const std::uint8_t*>(a.images)[n * size + i]) * (1.0f / 127.5f) - 1.0f
                                : static_cast<const float*>(a.images)[n * size + i];
    const std::int64_t at = n * size + (i % a.spatial) * a.channels + i / a.spatial;
    a.input[at] = clean_in * clean + noise_in * values[lane];
    a.target[at] = clean_target * clean + noise_target * values[lane];
  }
}

}  // namespace dpm
