#include "ops/weight_gradient_amx.h"

#include <ATen/Parallel.h>
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "ops/amx_tiles.h"
#include "ops/switches.h"

namespace dpm::cpu {
namespace {

using amx::kBlock;
using amx::kDepth;
using amx::kTile;
using amx::kTileNumbers;
using c10::BFloat16;

// Pixels between two visits to the sums: their images stay in the second cache.
constexpr std::int64_t kChunk = 1024;

// The row of pixels that the images make.
struct Row {
  std::int64_t line, image, pixels, widest_shift;

  explicit Row(const WeightGradientShape& shape)
      : line(shape.width + shape.size / 2),
        image((shape.height + shape.size / 2) * line),
        pixels(shape.count * image),
        widest_shift((shape.size / 2) * (line + 1)) {}
};

// Which outputs, inputs and taps one thread sums.
struct Part {
  std::int64_t out_begin, out_end, in_begin, in_end, tap_begin, tap_end;  // blocks, blocks, taps

  std::int64_t outs() const { return out_end - out_begin; }
  std::int64_t ins() const { return in_end - in_begin; }
};

std::int64_t blocks_of(std::int64_t channels) { return (channels + kBlock - 1) / kBlock; }

// A grid of parts, at most one for every thread, whose largest is as small as can be.
struct Grid {
  std::int64_t out = 1, in = 1, taps = 1;

  Grid(const WeightGradientShape& shape, std::int64_t threads) {
    const std::int64_t outs = blocks_of(shape.out), ins = blocks_of(shape.in), all = shape.size * shape.size;
    const auto largest = [](std::int64_t total, std::int64_t parts) { return (total + parts - 1) / parts; };
    std::int64_t best = outs * ins * all;
    for (std::int64_t o = 1; o <= std::min(outs, threads); ++o) {
      for (std::int64_t i = 1; i <= std::min(ins, threads / o); ++i) {
        const std::int64_t t = std::min(all, threads / (o * i));
        const std::int64_t size = largest(outs, o) * largest(ins, i) * largest(all, t);
        if (size < best) best = size, out = o, in = i, taps = t;
      }
    }
  }

  std::int64_t parts() const { return out * in * taps; }
  Part part(const WeightGradientShape& shape, std::int64_t index) const {
    const std::int64_t outs = blocks_of(shape.out), ins = blocks_of(shape.in), all = shape.size * shape.size;
    const std::int64_t t = index % taps, i = index / taps % in, o = index / taps / in;
    return {o * outs / out, (o + 1) * outs / out, i * ins / in, (i + 1) * ins / in, t * all / taps, (t + 1) * all / taps};
  }
};

// The images' pixels begin … begin + count of the row, null where the row has a zero.
void find_pixels(const WeightGradientShape& shape, const Row& row, const BFloat16* images, std::int64_t channels, std::int64_t begin,
                 std::int64_t count, const BFloat16** found) {
  for (std::int64_t k = 0; k < count; ++k) {
    const std::int64_t q = begin + k;
    found[k] = nullptr;
    if (q < 0 || q >= row.pixels) continue;
    const std::int64_t n = q / row.image, rest = q % row.image, h = rest / row.line, w = rest % row.line;
    if (h < shape.height && w < shape.width) found[k] = images + ((n * shape.height + h) * shape.width + w) * channels;
  }
}

// What a thread works in, kept from call to call; aligned to lines.
template <typename Number>
Number* scratch_of(std::int64_t wanted) {
  static thread_local std::vector<Number> memory;
  constexpr std::size_t line = 64 / sizeof(Number);
  if (memory.size() < static_cast<std::size_t>(wanted) + line) memory = std::vector<Number>(static_cast<std::size_t>(wanted) + line);
  const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
  return memory.data() + (64 - address % 64) % 64 / sizeof(Number);
}

void write_out(const WeightGradientShape& shape, const Part& part, const float* sums, float* dweight) {
  const std::int64_t taps = shape.size * shape.size;
  for (std::int64_t ob = part.out_begin; ob < part.out_end; ++ob) {
    for (std::int64_t ib = part.in_begin; ib < part.in_end; ++ib) {
      for (std::int64_t tap = part.tap_begin; tap < part.tap_end; ++tap, sums += 4 * kTileNumbers) {
        const std::int64_t out = std::min(kBlock, shape.out - ob * kBlock);
        for (std::int64_t o = 0; o < out; ++o) {
          for (std::int64_t half = 0; half < 2; ++half) {
            const std::int64_t in = ib * kBlock + half * kTile;
            if (in >= shape.in) break;
            const float* const from = sums + (o / kTile * 2 + half) * kTileNumbers + o % kTile * kTile;
            std::copy_n(from, std::min(kTile, shape.in - in), dweight + ((ob * kBlock + o) * taps + tap) * shape.in + in);
          }
        }
      }
    }
  }
}

void sum_part(const WeightGradientShape& shape, const Part& part, const BFloat16* x, const BFloat16* dy, float* dweight, float* dbias) {
  const Row row(shape);
  const std::int64_t taps = part.tap_end - part.tap_begin, middle = row.widest_shift;
  const std::int64_t rows = (kChunk + 2 * middle) / 2 + 1, tiles = kChunk / kDepth, a_block = tiles * kTileNumbers, b_block = 2 * rows * kTile;
  std::uint32_t* const gradients = scratch_of<std::uint32_t>(2 * part.outs() * a_block + 2 * part.ins() * b_block);
  std::uint32_t* const inputs = gradients + 2 * part.outs() * a_block;
  float* const sums = scratch_of<float>(part.outs() * part.ins() * taps * 4 * kTileNumbers);
  std::vector<const BFloat16*> pixels(static_cast<std::size_t>(std::max(kChunk, 2 * rows + 1)));
  amx::begin_tiles();
  for (std::int64_t begin = 0; begin < row.pixels; begin += kChunk) {
    find_pixels(shape, row, dy, shape.out, begin, kChunk, pixels.data());
    const std::int64_t used = std::min(tiles, (row.pixels - begin + kDepth - 1) / kDepth);
    amx::pack_gradients(pixels.data(), used, shape.out, part.out_begin * kBlock, part.out_end * kBlock, a_block, gradients, dbias);
    find_pixels(shape, row, x, shape.in, begin - middle, 2 * rows + 1, pixels.data());
    amx::pack_inputs(pixels.data(), rows, shape.in, part.in_begin * kBlock, part.in_end * kBlock, inputs);
    float* to = sums;
    for (std::int64_t ob = 0; ob < part.outs(); ++ob) {
      for (std::int64_t ib = 0; ib < part.ins(); ++ib) {
        for (std::int64_t tap = part.tap_begin; tap < part.tap_end; ++tap, to += 4 * kTileNumbers) {
          const std::int64_t shift = tap / shape.size * row.line + tap % shape.size;
          const std::uint32_t* const b = inputs + 2 * ib * b_block + (shift % 2 * rows + shift / 2) * kTile;
          amx::multiply(gradients + 2 * ob * a_block, a_block, b, b_block, used, begin == 0, to);
        }
      }
    }
  }
  amx::end_tiles();
  write_out(shape, part, sums, dweight);
}

}  // namespace

bool weight_gradient_amx_available() {
  static const bool available = [] {
    if (!switched_on("DPM_TORCH_AMX")) return false;
    unsigned a = 0, b = 0, c = 0, d = 0;
    constexpr unsigned bfloat16 = 1U << 22, tile = 1U << 24;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & bfloat16) == 0 || (d & tile) == 0) return false;
    if (!__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl")) return false;
    constexpr long ask_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM of asm/prctl.h, Linux 5.16
    return syscall(SYS_arch_prctl, ask_permission, tile_data) == 0;
  }();
  return available;
}

void weight_gradient_amx(const WeightGradientShape& shape, const BFloat16* x, const BFloat16* dy, float* dweight, float* dbias) {
  if (dbias != nullptr) std::fill_n(dbias, shape.out, 0.0f);
  const Grid grid(shape, at::get_num_threads());
  at::parallel_for(0, grid.parts(), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t index = begin; index < end; ++index) {
      const Part part = grid.part(shape, index);
      const bool first = part.in_begin == 0 && part.tap_begin == 0;
      sum_part(shape, part, x, dy, dweight, first ? dbias : nullptr);
    }
  });
}

}  // namespace dpm::cpu
