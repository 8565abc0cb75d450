#include "ops/winograd.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "ops/share_out.h"

namespace dpm::cpu {
namespace {

// Null where the processor has neither set. DPM_TORCH_WINOGRAD=avx2 takes the narrower one, so that both can be tested.
const WinogradKernels* kernels() {
  static const WinogradKernels* const chosen = [] {
    const char* const set = std::getenv("DPM_TORCH_WINOGRAD");
    const bool narrow = set != nullptr && std::strcmp(set, "avx2") == 0;
    const bool wide = __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (wide && !narrow) return &winograd_avx512();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &winograd_avx2() : nullptr;
  }();
  return chosen;
}

// Tiles between two passes over the weights: as many as leave inputs and products in the second cache, and every thread as
// many blocks.
std::int64_t block_of(const WinogradShape& shape) {
  constexpr std::int64_t cache = 1 << 21;
  const std::int64_t rows = kernels()->rows, bytes = 16 * 4 * (shape.in + shape.out);
  const std::int64_t most = std::clamp(cache / bytes / rows, std::int64_t{2}, std::int64_t{16}) * rows;
  const std::int64_t of_thread = (shape.tiles() + at::get_num_threads() - 1) / at::get_num_threads();
  const std::int64_t blocks = (of_thread + most - 1) / most;
  return (of_thread + blocks * rows - 1) / (blocks * rows) * rows;
}

// A thread's own memory, kept from call to call.
float* scratch_of(const WinogradShape& shape, std::int64_t block) {
  static thread_local std::unique_ptr<float[]> memory;
  static thread_local std::int64_t size = 0;
  const std::int64_t planes = 16 * (block * (shape.in + shape.out) + 2 * kPlaneGap), wanted = planes + std::max(shape.in, shape.out);
  if (size < wanted) {
    memory.reset();
    memory = std::make_unique<float[]>(static_cast<std::size_t>(wanted));
    size = wanted;
  }
  std::fill_n(memory.get() + planes, std::max(shape.in, shape.out), 0.0f);
  return memory.get();
}

// Memory of the calling thread for what all threads share, kept from call to call.
float* shared_of(std::int64_t wanted) {
  static thread_local std::unique_ptr<float[]> memory;
  static thread_local std::int64_t size = 0;
  if (size < wanted) {
    memory.reset();
    memory.reset(new float[static_cast<std::size_t>(wanted)]);
    size = wanted;
  }
  return memory.get();
}

// taps: 9 × in × out.
void convolve(const WinogradShape& shape, const float* x, const float* taps, float* packed, const float* bias, float* y) {
  const WinogradKernels& use = *kernels();
  const std::int64_t panel = 2 * use.lanes, panels = (shape.out + panel - 1) / panel;
  at::parallel_for(0, panels, 1, [&](std::int64_t begin, std::int64_t end) {
    use.pack(taps, shape.in, shape.out, begin * panel, std::min(end * panel, shape.out), packed);
  });
  const std::int64_t block = block_of(shape), tiles = shape.tiles();
  share_out((tiles + block - 1) / block, [&](const auto& take) {
    float* const scratch = scratch_of(shape, block);
    for (std::int64_t piece = 0; take(piece);)
      use.forward(shape, x, packed, bias, y, piece * block, std::min((piece + 1) * block, tiles), block, scratch);
  });
}

}  // namespace

bool winograd_fits(const WinogradShape& shape) {
  return kernels() != nullptr && shape.in % 16 == 0 && shape.out % 16 == 0 && shape.in > 0 && shape.out > 0 && shape.tiles() >= 128;
}

void winograd_forward(const WinogradShape& shape, const float* x, const float* weight, const float* bias, float* y) {
  const std::int64_t in = shape.in, out = shape.out;
  float* const taps = shared_of((9 + 16) * in * out);
  constexpr std::int64_t tile = 16;
  at::parallel_for(0, out / tile, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t o = begin * tile; o < end * tile; o += tile) {
      for (std::int64_t tap = 0; tap < 9; ++tap) {
        for (std::int64_t i = 0; i < in; ++i) {
          float* const to = taps + (tap * in + i) * out + o;
          const float* const from = weight + (o * 9 + tap) * in + i;
          for (std::int64_t k = 0; k < tile; ++k) to[k] = from[k * 9 * in];
        }
      }
    }
  });
  convolve(shape, x, taps, taps + 9 * in * out, bias, y);
}

void winograd_backward_data(const WinogradShape& shape, const float* dy, const float* weight, float* dx) {
  const std::int64_t in = shape.in, out = shape.out;
  float* const taps = shared_of((9 + 16) * in * out);
  // The filter turned by half, from out to in.
  at::parallel_for(0, out, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t o = begin; o < end; ++o) {
      for (std::int64_t tap = 0; tap < 9; ++tap) std::copy_n(weight + (o * 9 + tap) * in, in, taps + ((8 - tap) * out + o) * in);
    }
  });
  convolve(shape.reversed(), dy, taps, taps + 9 * in * out, nullptr, dx);
}

void winograd_backward_weight(const WinogradShape& shape, const float* x, const float* dy, float* dweight) {
  const WinogradKernels& use = *kernels();
  const std::int64_t in = shape.in, out = shape.out, tiles = shape.tiles(), block = block_of(shape);
  const std::int64_t blocks = (tiles + block - 1) / block;
  // Every slice of the tiles sums on its own, within 256 MB for all.
  constexpr std::int64_t most = 64 << 20;
  const std::int64_t slices = std::clamp(std::min<std::int64_t>(at::get_num_threads(), most / (16 * in * out)), std::int64_t{1}, blocks);
  float* const sums = shared_of(slices * 16 * in * out);
  at::parallel_for(0, slices, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t slice = first; slice < last; ++slice) {
      const std::int64_t begin = slice * blocks / slices * block, end = std::min((slice + 1) * blocks / slices * block, tiles);
      use.backward_weight(shape, x, dy, sums + slice * 16 * in * out, begin, end, block, scratch_of(shape, block));
    }
  });
  at::parallel_for(0, out, 8, [&](std::int64_t begin, std::int64_t end) { use.finish_weight(sums, slices, in, out, begin, end, dweight); });
}

}  // namespace dpm::cpu
