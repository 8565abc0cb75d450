#include "ops/pointwise.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "ops/share_out.h"
#include "ops/switches.h"

namespace dpm::cpu {
namespace {

// Channels come in whole registers of the widest set, and threads take this many at least.
constexpr std::int64_t kUnit = 16;
// Rows of a thread's share, at least: fewer repay no preparation.
constexpr std::int64_t kFewestRows = 64;

// Null where the processor has neither set, or the switch is off; DPM_TORCH_POINTWISE=avx2 takes the narrower one, so that both
// can be tested.
const PointwiseKernels* kernels() {
  static const PointwiseKernels* const chosen = []() -> const PointwiseKernels* {
    if (!switched_on("DPM_TORCH_POINTWISE")) return nullptr;
    const char* const set = std::getenv("DPM_TORCH_POINTWISE");
    const bool narrow = set != nullptr && std::strcmp(set, "avx2") == 0;
    const bool wide = __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (wide && !narrow) return &pointwise_avx512();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &pointwise_avx2() : nullptr;
  }();
  return chosen;
}

// The calling thread's memory for a weight in panels, kept from call to call.
float* packed_of(std::int64_t wanted) {
  static thread_local std::vector<float> memory;
  if (memory.size() < static_cast<std::size_t>(wanted)) memory = std::vector<float>(static_cast<std::size_t>(wanted));
  return memory.data();
}

void multiply(const PointwiseShape& shape, const float* x, const float* packed, const float* bias, float* y) {
  // Every share but the last has as many rows; the last has the rest too, so that none is too short for the registers.
  const std::int64_t shares = std::max<std::int64_t>(1, shape.rows / kFewestRows);
  const std::int64_t pieces = std::min<std::int64_t>(shares, 8 * at::get_num_threads());
  share_out(pieces, [&](const auto& take) {
    for (std::int64_t piece = 0; take(piece);) {
      const std::int64_t begin = piece * shares / pieces * kFewestRows;
      const std::int64_t end = piece + 1 == pieces ? shape.rows : (piece + 1) * shares / pieces * kFewestRows;
      kernels()->multiply(shape, x, packed, bias, y, begin, end);
    }
  });
}

}  // namespace

bool pointwise_fits(const PointwiseShape& shape) {
  return shape.in % kUnit == 0 && shape.out % kUnit == 0 && shape.in > 0 && shape.out > 0 && shape.rows >= kFewestRows && kernels() != nullptr;
}

void pointwise_forward(const PointwiseShape& shape, const float* x, const float* weight, const float* bias, float* y) {
  const std::int64_t in = shape.in, out = shape.out, panel = kernels()->panel;
  float* const packed = packed_of(in * out);
  at::parallel_for(0, out / kUnit, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t o = begin * kUnit; o < end * kUnit; o += kUnit) {
      const std::int64_t first = o / panel * panel, width = std::min(panel, out - first);
      // A unit may span panels: it is as wide as the widest register, and a panel has two.
      for (std::int64_t i = 0; i < in; ++i) {
        float* const to = packed + first * in + i * width + (o - first);
        for (std::int64_t k = 0; k < kUnit; ++k) to[k] = weight[(o + k) * in + i];
      }
    }
  });
  multiply(shape, x, packed, bias, y);
}

void pointwise_backward_data(const PointwiseShape& shape, const float* dy, const float* weight, float* dx) {
  const std::int64_t in = shape.in, out = shape.out, panel = kernels()->panel;
  float* const packed = packed_of(in * out);
  at::parallel_for(0, (in + panel - 1) / panel, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t first = begin * panel; first < std::min(end * panel, in); first += panel) {
      const std::int64_t width = std::min(panel, in - first);
      for (std::int64_t o = 0; o < out; ++o) std::copy_n(weight + o * in + first, width, packed + first * out + o * width);
    }
  });
  multiply({shape.rows, out, in}, dy, packed, nullptr, dx);
}

void pointwise_backward_weight(const PointwiseShape& shape, const float* x, const float* dy, float* dweight, float* dbias) {
  const PointwiseKernels& use = *kernels();
  const std::int64_t threads = at::get_num_threads(), outs = shape.out / kUnit, ins = (shape.in + use.panel - 1) / use.panel;
  const std::int64_t down = std::min(threads, outs), across = std::clamp(threads / down, std::int64_t{1}, ins);
  if (dbias != nullptr) std::fill_n(dbias, shape.out, 0.0f);
  at::parallel_for(0, down * across, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> scratch(static_cast<std::size_t>(use.depth * use.panel));
    for (std::int64_t index = begin; index < end; ++index) {
      const std::int64_t o = index / across, i = index % across;
      const PointwisePart part{o * outs / down * kUnit, (o + 1) * outs / down * kUnit, i * ins / across * use.panel,
                               std::min((i + 1) * ins / across * use.panel, shape.in)};
      use.backward_weight(shape, x, dy, part, scratch.data(), dweight, i == 0 ? dbias : nullptr);
    }
  });
}

}  // namespace dpm::cpu
