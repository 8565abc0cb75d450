// CPU launchers.
#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <vector>

#include "ops/dropout_body.h"
#include "ops/instruction_sets.h"
#include "ops/loss_body.h"
#include "ops/noise_body.h"
#include "ops/optimizer_body.h"
#include "ops/ratio_body.h"

namespace dpm::cpu {
namespace {

constexpr std::int64_t kGrain = 1 << 14;

DPM_PER_INSTRUCTION_SET void combine_range(const CombineArguments& a, std::int64_t begin, std::int64_t end) {
  float* const out = a.out;  // may be one of the terms
  const int count = a.terms_count;
  if (count == 2) {  // the commonest, in one pass
    const float* x = a.terms[0];
    const float* y = a.terms[1];
    const float p = a.coefficients[0], q = a.coefficients[1];
    for (std::int64_t i = begin; i < end; ++i) a.out[i] = p * x[i] + q * y[i];
    return;
  }
  constexpr std::int64_t tile = 512;
  float sum[tile];
  for (std::int64_t start = begin; start < end; start += tile) {
    const std::int64_t length = std::min(tile, end - start);
    for (std::int64_t i = 0; i < length; ++i) sum[i] = 0.0f;
    for (int k = 0; k < count; ++k) {
      const float* term = a.terms[k] + start;
      const float coefficient = a.coefficients[k];
      for (std::int64_t i = 0; i < length; ++i) sum[i] += coefficient * term[i];
    }
    for (std::int64_t i = 0; i < length; ++i) out[start + i] = sum[i];
  }
}

// Sum of (value - centre)^power, power 1 or 2.
template <int power>
inline __attribute__((always_inline)) double sum_range(const float* values, std::int64_t begin, std::int64_t end, double centre) {
  const auto term = [centre](float value) { return power == 1 ? double{value} - centre : (double{value} - centre) * (double{value} - centre); };
  // Eight partial sums: vectorisable, and the order of additions is the same everywhere.
  double sums[8] = {};
  std::int64_t i = begin;
  for (; i + 8 <= end; i += 8) {
    for (int lane = 0; lane < 8; ++lane) sums[lane] += term(values[i + lane]);
  }
  double total = 0;
  for (; i < end; ++i) total += term(values[i]);
  for (double sum : sums) total += sum;
  return total;
}

DPM_PER_INSTRUCTION_SET double squared_norm_range(const float* values, std::int64_t begin, std::int64_t end) {
  return sum_range<2>(values, begin, end, 0);
}

DPM_PER_INSTRUCTION_SET double measure_sample(const float* values, std::int64_t size, Measure measure) {
  const double centre = measure == Measure::norm ? 0 : sum_range<1>(values, 0, size, 0) / static_cast<double>(size);
  return measure_of(measure, sum_range<2>(values, 0, size, centre), size);
}

DPM_PER_INSTRUCTION_SET void optimizer_range(const OptimizerArguments& a, std::int64_t begin, std::int64_t end) {
  float* __restrict values = a.values;
  float* __restrict gradients = a.gradients;
  float* __restrict first = a.first;
  float* __restrict second = a.second;
  for (std::int64_t i = begin; i < end; ++i) optimizer_element(a, values[i], gradients[i], first[i], second[i]);
  for (int k = 0; k < a.averages_count; ++k) {
    float* __restrict average = a.averages[k];
    const float rest = 1.0f - a.keep[k];
    for (std::int64_t i = begin; i < end; ++i) average_element(rest, values[i], average[i]);
  }
}

DPM_PER_INSTRUCTION_SET void dropout_range(const DropoutArguments& a, std::int64_t n, std::int64_t begin, std::int64_t end) {
  const std::uint32_t example = counter_of(a.examples[n]);
  const std::uint32_t epoch = counter_of(a.epochs[n]);
  const float factor = dropout_factor(a);
  const float* in = a.in + n * a.size;
  float* out = a.out + n * a.size;
  constexpr std::int64_t tile = 256;
  float kept[4 * tile];
  for (std::int64_t start = begin; start < end; start += tile) {
    const std::int64_t blocks = std::min(tile, end - start);
    for (std::int64_t b = 0; b < blocks; ++b) dropout_block(a, example, epoch, start + b, factor, kept + 4 * b);
    const std::int64_t from = start * 4;
    const std::int64_t length = std::min(blocks * 4, a.size - from);
    for (std::int64_t i = 0; i < length; ++i) out[from + i] = in[from + i] * kept[i];
  }
}

DPM_PER_INSTRUCTION_SET void clip_range(const float* x, float low, float high, std::int64_t begin, std::int64_t end, float* out) {
  for (std::int64_t i = begin; i < end; ++i) {
    const float raised = x[i] < low ? low : x[i];
    out[i] = raised > high ? high : raised;
  }
}

DPM_PER_INSTRUCTION_SET bool finite_range(const float* values, std::int64_t begin, std::int64_t end) {
  // An exponent of ones.
  constexpr std::uint32_t mask = 0x7f800000;
  std::uint32_t bad = 0;
  for (std::int64_t i = begin; i < end; ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, values + i, sizeof bits);
    bad |= (bits & mask) == mask ? 1u : 0u;
  }
  return bad == 0;
}

template <typename Body>
void for_blocks(std::int64_t count, std::int64_t size, const Body& body) {
  const std::int64_t blocks = (size + 3) / 4;
  at::parallel_for(0, count * blocks, 1 << 10, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) body(i / blocks, i % blocks);
  });
}

}  // namespace

void normals(const NormalArguments& a) {
  for_blocks(a.count, a.channels * a.spatial, [&](std::int64_t n, std::int64_t block) { normal_block(a, n, block); });
}

void noise_step(const NoiseStepArguments& a) {
  for_blocks(a.count, a.channels * a.spatial, [&](std::int64_t n, std::int64_t block) { noise_step_block(a, n, block); });
}

void combine(const CombineArguments& a) {
  at::parallel_for(0, a.size, kGrain, [&](std::int64_t begin, std::int64_t end) { combine_range(a, begin, end); });
}

void ratio(const RatioArguments& a) {
  at::parallel_for(0, a.count, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) {
      const std::int64_t at = n * a.size;
      const float value = ratio_of(a, measure_sample(a.a + at, a.size, a.measure), measure_sample(a.b + at, a.size, a.measure));
      std::fill_n(a.out + at, a.size, value);
    }
  });
}

void loss(const LossArguments& a) {
  at::parallel_for(0, a.count, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) {
      const float* output = a.output + n * a.size;
      const float* target = a.target + n * a.size;
      float* gradient = a.gradient + n * a.size;
      const float factor = loss_factor(a, n);
      double sum = 0;
      for (std::int64_t i = 0; i < a.size; ++i) {
        const LossElement element = loss_element(a.kind, a.scale, factor, output[i] - target[i]);
        sum += element.loss;
        gradient[i] = element.gradient;
      }
      a.losses[n] = sum / static_cast<double>(a.size);
      // The bounded gradients of l1 and huber would hide it.
      if (!std::isfinite(a.losses[n]) && a.size > 0) gradient[0] = static_cast<float>(a.losses[n]);
    }
  });
}

double squared_norm(const float* values, std::int64_t size) {
  // Fixed tiles, summed in order: the same number with any count of threads.
  constexpr std::int64_t tile = 1 << 16;
  const std::int64_t tiles = (size + tile - 1) / tile;
  std::vector<double> sums(static_cast<std::size_t>(tiles));
  at::parallel_for(0, tiles, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) {
      sums[static_cast<std::size_t>(t)] = squared_norm_range(values, t * tile, std::min(size, (t + 1) * tile));
    }
  });
  double total = 0;
  for (double sum : sums) total += sum;
  return total;
}

void optimizer(const OptimizerArguments& a) {
  at::parallel_for(0, a.size, kGrain, [&](std::int64_t begin, std::int64_t end) {
    // Tiles that stay in cache while the averages follow.
    constexpr std::int64_t tile = 1 << 12;
    for (std::int64_t start = begin; start < end; start += tile) optimizer_range(a, start, std::min(end, start + tile));
  });
}

void dropout(const DropoutArguments& a) {
  const std::int64_t blocks = (a.size + 3) / 4;
  constexpr std::int64_t tile = 1024;
  const std::int64_t tiles = (blocks + tile - 1) / tile;
  at::parallel_for(0, a.count * tiles, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t start = (i % tiles) * tile;
      dropout_range(a, i / tiles, start, std::min(blocks, start + tile));
    }
  });
}

void clip(const float* x, float low, float high, std::int64_t size, float* out) {
  at::parallel_for(0, size, kGrain, [&](std::int64_t begin, std::int64_t end) { clip_range(x, low, high, begin, end, out); });
}

bool all_finite(const float* values, std::int64_t size) {
  std::atomic<bool> finite{true};
  at::parallel_for(0, size, kGrain, [&](std::int64_t begin, std::int64_t end) {
    if (!finite_range(values, begin, end)) finite.store(false, std::memory_order_relaxed);
  });
  return finite.load(std::memory_order_relaxed);
}

}  // namespace dpm::cpu
