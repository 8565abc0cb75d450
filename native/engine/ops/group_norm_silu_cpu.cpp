#include <ATen/Parallel.h>
#include <c10/util/BFloat16.h>

#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

#include "ops/group_norm_silu.h"
#include "ops/instruction_sets.h"
#include "ops/share_out.h"

namespace dpm::cpu {
namespace {

// exp(x), relative error 2e-7: 2^n times a polynomial on [-ln 2 / 2, ln 2 / 2] (Cephes library, S. Moshier).
inline __attribute__((always_inline)) float exp_of(float x) {
  x = x > 88.0f ? 88.0f : x;
  x = x < -87.0f ? -87.0f : x;
  const float rounded = (x * 1.44269504088896341f + 12582912.0f) - 12582912.0f;  // to the nearest whole number
  const float r = (x - rounded * 0.693359375f) + rounded * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const std::int32_t bits = (static_cast<std::int32_t>(rounded) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, 4);
  return p * power;
}

inline __attribute__((always_inline)) float sigmoid_of(float z) { return 1.0f / (1.0f + exp_of(-z)); }

// Rows that are summed in float32 before they join a float64 sum.
constexpr std::int64_t kRows = 32;

// Sums of x - x_0 and of its squares over each column, x_0 the column's first number: squares of x itself would lose the
// variance of numbers that lie far from zero.
DPM_PER_INSTRUCTION_SET void column_sums(const float* __restrict x, std::int64_t positions, std::int64_t stride, std::int64_t channels, double* sums,
                                         double* squares, float* work) {
  float* __restrict sum = work;
  float* __restrict square = work + channels;
  for (std::int64_t start = 0; start < positions; start += kRows) {
    const std::int64_t end = start + kRows < positions ? start + kRows : positions;
    for (std::int64_t c = 0; c < channels; ++c) sum[c] = square[c] = 0.0f;
    for (std::int64_t s = start; s < end; ++s) {
      const float* __restrict row = x + s * stride;
      for (std::int64_t c = 0; c < channels; ++c) {
        const float value = row[c] - x[c];
        sum[c] += value;
        square[c] += value * value;
      }
    }
    for (std::int64_t c = 0; c < channels; ++c) {
      sums[c] += double{sum[c]};
      squares[c] += double{square[c]};
    }
  }
}

DPM_PER_INSTRUCTION_SET void affine_silu(const float* x, float* y, std::int64_t positions, std::int64_t stride, std::int64_t channels,
                                         const float* __restrict gain, const float* __restrict constant) {
  for (std::int64_t s = 0; s < positions; ++s) {
    const float* __restrict in = x + s * stride;
    float* __restrict out = y + s * stride;
    for (std::int64_t c = 0; c < channels; ++c) {
      const float z = gain[c] * in[c] + constant[c];
      out[c] = z * sigmoid_of(z);
    }
  }
}

// dz = dy * silu'(z) into `dz`; column sums of dz and of dz * x.
DPM_PER_INSTRUCTION_SET void silu_backward(const float* x, const float* dy, float* dz, std::int64_t positions, std::int64_t stride,
                                           std::int64_t channels, const float* __restrict gain, const float* __restrict constant, double* sums,
                                           double* products, float* work) {
  float* __restrict sum = work;
  float* __restrict product = work + channels;
  for (std::int64_t start = 0; start < positions; start += kRows) {
    const std::int64_t end = start + kRows < positions ? start + kRows : positions;
    for (std::int64_t c = 0; c < channels; ++c) sum[c] = product[c] = 0.0f;
    for (std::int64_t s = start; s < end; ++s) {
      const float* __restrict in = x + s * stride;
      const float* __restrict up = dy + s * stride;
      float* __restrict out = dz + s * stride;
      for (std::int64_t c = 0; c < channels; ++c) {
        const float z = gain[c] * in[c] + constant[c];
        const float sigmoid = sigmoid_of(z);
        const float value = up[c] * (sigmoid * (1.0f + z * (1.0f - sigmoid)));
        out[c] = value;
        sum[c] += value;
        product[c] += value * in[c];
      }
    }
    for (std::int64_t c = 0; c < channels; ++c) {
      sums[c] += double{sum[c]};
      products[c] += double{product[c]};
    }
  }
}

// dx = p dz + q x + r, where dx holds dz; p and r are per channel, q per channel's group.
DPM_PER_INSTRUCTION_SET void norm_backward(const float* x, float* dx, std::int64_t positions, std::int64_t stride, std::int64_t channels,
                                           const float* __restrict p, const float* __restrict q, const float* __restrict r) {
  for (std::int64_t s = 0; s < positions; ++s) {
    const float* __restrict in = x + s * stride;
    float* __restrict out = dx + s * stride;
    for (std::int64_t c = 0; c < channels; ++c) out[c] = p[c] * out[c] + (q[c] * in[c] + r[c]);
  }
}

DPM_PER_INSTRUCTION_SET void widen(const std::uint16_t* __restrict from, std::int64_t size, std::uint32_t* __restrict to) {
  for (std::int64_t i = 0; i < size; ++i) to[i] = std::uint32_t{from[i]} << 16;
}

// To the nearest, halves to even; not a number stays one.
DPM_PER_INSTRUCTION_SET void narrow(const std::uint32_t* __restrict from, std::int64_t size, std::uint16_t* __restrict to) {
  for (std::int64_t i = 0; i < size; ++i) {
    const std::uint32_t bits = from[i], rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
    to[i] = static_cast<std::uint16_t>((bits & 0x7fffffffU) > 0x7f800000U ? (bits >> 16) | 0x40U : rounded);
  }
}

// Channels [first, first + width) of example n: whole groups, so that no number of a piece depends on another piece.
struct Piece {
  std::int64_t n, first, width;
};

// Enough pieces for every thread, each small enough to lie in a cache when it is read again and at least a cache line wide.
template <typename Number>
class Pieces {
 public:
  explicit Pieces(const GroupNormSilu<Number>& a) : channels_(a.channels), count_(a.count) {
    constexpr std::int64_t kCached = 1 << 18, kLine = 16;  // numbers
    const std::int64_t per_group = a.channels / a.groups;
    const std::int64_t wanted = std::max(up(at::get_num_threads(), std::max<std::int64_t>(a.count, 1)), up(a.positions * a.channels, kCached));
    width_ = per_group * std::max(up(a.groups, wanted), up(kLine, per_group));
    of_example_ = up(channels_, width_);
  }

  [[nodiscard]] std::int64_t size() const { return count_ * of_example_; }
  [[nodiscard]] std::int64_t width() const { return width_; }
  [[nodiscard]] Piece operator[](std::int64_t index) const {
    const std::int64_t first = index % of_example_ * width_;
    return {index / of_example_, first, std::min(width_, channels_ - first)};
  }

 private:
  static std::int64_t up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
  std::int64_t channels_, count_, width_, of_example_;
};

// A piece's numbers as float32: where they lie, or in memory of the thread's own until they are put back.
template <typename Number>
class Single {
 public:
  Single(const GroupNormSilu<Number>& a, std::int64_t width)
      : positions_(a.positions), channels_(a.channels), memory_(is_wide ? 0 : static_cast<std::size_t>(a.positions * width)) {}

  // Between a row of a piece and the next.
  [[nodiscard]] std::int64_t stride(const Piece& piece) const { return is_wide ? channels_ : piece.width; }

  const float* read(const Number* whole, const Piece& piece) {
    const Number* const from = whole + start(piece);
    if constexpr (is_wide) return from;
    for (std::int64_t s = 0; s < positions_; ++s)
      widen(reinterpret_cast<const std::uint16_t*>(from + s * channels_), piece.width,
            reinterpret_cast<std::uint32_t*>(memory_.data() + s * piece.width));
    return memory_.data();
  }
  float* place(Number* whole, const Piece& piece) {
    if constexpr (is_wide) return whole + start(piece);
    return memory_.data();
  }
  void put(Number* whole, const Piece& piece) {
    if constexpr (!is_wide) {
      Number* const to = whole + start(piece);
      for (std::int64_t s = 0; s < positions_; ++s)
        narrow(reinterpret_cast<const std::uint32_t*>(memory_.data() + s * piece.width), piece.width,
               reinterpret_cast<std::uint16_t*>(to + s * channels_));
    }
  }

 private:
  static constexpr bool is_wide = std::is_same_v<Number, float>;
  [[nodiscard]] std::int64_t start(const Piece& piece) const { return piece.n * positions_ * channels_ + piece.first; }
  std::int64_t positions_, channels_;
  std::vector<float> memory_;
};

// z = gain * x + constant, from the statistics; both begin with the piece's first channel.
template <typename Number>
void affine(const GroupNormSilu<Number>& a, const Piece& piece, float* gain, float* constant) {
  const std::int64_t per_group = a.channels / a.groups;
  for (std::int64_t c = piece.first; c < piece.first + piece.width; ++c) {
    const std::int64_t at = piece.n * a.channels + c, group = piece.n * a.groups + c / per_group;
    const double inverse = a.inverse[group], mean = a.means[group];
    const double factor = a.scale ? 1.0 + double{a.scale[at]} : 1.0;
    const double slope = inverse * double{a.weight[c]} * factor;
    const double offset = a.offset ? double{a.offset[at]} : 0.0;
    gain[c - piece.first] = static_cast<float>(slope);
    constant[c - piece.first] = static_cast<float>(slope * (offset - mean) + double{a.bias[c]} * factor + (a.shift ? double{a.shift[at]} : 0.0));
  }
}

}  // namespace

template <typename Number>
void group_norm_silu(const GroupNormSilu<Number>& a, Number* y) {
  const std::int64_t per_group = a.channels / a.groups;
  const Pieces<Number> pieces(a);
  share_out(pieces.size(), [&](const auto& take) {
    const auto width = static_cast<std::size_t>(pieces.width());
    std::vector<double> sums(width), squares(width);
    std::vector<float> work(2 * width), gain(width), constant(width);
    Single<Number> read(a, pieces.width()), made(a, pieces.width());
    for (std::int64_t index = 0; take(index);) {
      const Piece piece = pieces[index];
      const float* const x = read.read(a.x, piece);
      std::fill(sums.begin(), sums.end(), 0.0);
      std::fill(squares.begin(), squares.end(), 0.0);
      column_sums(x, a.positions, read.stride(piece), piece.width, sums.data(), squares.data(), work.data());
      const auto rows = static_cast<double>(a.positions);
      for (std::int64_t first = 0; first < piece.width; first += per_group) {
        const std::int64_t place = piece.n * a.channels + piece.first, group = piece.n * a.groups + (piece.first + first) / per_group;
        // What the numbers of a column are counted from, the offset included.
        const auto start = [&](std::int64_t c) { return double{x[c]} + (a.offset ? double{a.offset[place + c]} : 0.0); };
        double total = 0, total_squares = 0;
        for (std::int64_t c = first; c < first + per_group; ++c) {
          const double sum = sums[static_cast<std::size_t>(c)] + rows * start(c);
          total += sum;
          a.sums[place + c] = static_cast<float>(sum);
        }
        const double elements = rows * static_cast<double>(per_group);
        const double mean = total / elements;
        for (std::int64_t c = first; c < first + per_group; ++c) {
          const double apart = start(c) - mean;
          total_squares += squares[static_cast<std::size_t>(c)] + apart * (2 * sums[static_cast<std::size_t>(c)] + rows * apart);
        }
        const double variance = std::max(0.0, total_squares / elements);
        a.means[group] = static_cast<float>(mean);
        a.inverse[group] = static_cast<float>(1.0 / std::sqrt(variance + a.epsilon));
      }
      affine(a, piece, gain.data(), constant.data());
      affine_silu(x, made.place(y, piece), a.positions, made.stride(piece), piece.width, gain.data(), constant.data());
      made.put(y, piece);
    }
  });
}

template <typename Number>
void group_norm_silu_backward(const GroupNormSilu<Number>& a, const GroupNormSiluGradient<Number>& d) {
  const std::int64_t per_group = a.channels / a.groups;
  const Pieces<Number> pieces(a);
  share_out(pieces.size(), [&](const auto& take) {
    const auto width = static_cast<std::size_t>(pieces.width());
    std::vector<double> sums(width), products(width);
    std::vector<float> work(2 * width), gain(width), constant(width), q(width), r(width);
    Single<Number> given(a, pieces.width()), up(a, pieces.width()), made(a, pieces.width());
    for (std::int64_t index = 0; take(index);) {
      const Piece piece = pieces[index];
      std::fill(sums.begin(), sums.end(), 0.0);
      std::fill(products.begin(), products.end(), 0.0);
      affine(a, piece, gain.data(), constant.data());
      const float* const x = given.read(a.x, piece);
      float* const dx = made.place(d.x, piece);
      const std::int64_t stride = made.stride(piece);
      silu_backward(x, up.read(d.out, piece), dx, a.positions, stride, piece.width, gain.data(), constant.data(), sums.data(), products.data(),
                    work.data());
      for (std::int64_t first_of_group = 0; first_of_group < piece.width; first_of_group += per_group) {
        const std::int64_t group = piece.n * a.groups + (piece.first + first_of_group) / per_group;
        const double mean = a.means[group], inverse = a.inverse[group];
        const double elements = static_cast<double>(a.positions) * static_cast<double>(per_group);
        // With h the normalised value: sums over the group of dh and of dh * h.
        double first = 0, second = 0;
        for (std::int64_t c = first_of_group; c < first_of_group + per_group; ++c) {
          const auto at = static_cast<std::size_t>(c);
          const std::int64_t channel = piece.first + c, place = piece.n * a.channels + channel;
          const double offset = a.offset ? double{a.offset[place]} : 0.0;
          const double factor = a.scale ? 1.0 + double{a.scale[place]} : 1.0;
          const double weight = a.weight[channel], bias = a.bias[channel];
          const double normalised = (products[at] + (offset - mean) * sums[at]) * inverse;  // sum of dz * h
          d.weight[place] = static_cast<float>(factor * normalised);
          d.bias[place] = static_cast<float>(factor * sums[at]);
          if (d.shift) d.shift[place] = static_cast<float>(sums[at]);
          if (d.scale) d.scale[place] = static_cast<float>(weight * normalised + bias * sums[at]);
          first += weight * factor * sums[at];
          second += weight * factor * normalised;
        }
        const double slope = -inverse * inverse * second / elements;
        for (std::int64_t c = first_of_group; c < first_of_group + per_group; ++c) {
          const auto at = static_cast<std::size_t>(c);
          const std::int64_t place = piece.n * a.channels + piece.first + c;
          const double offset = a.offset ? double{a.offset[place]} : 0.0;
          const double rest = -inverse * first / elements - slope * mean;
          q[at] = static_cast<float>(slope);
          r[at] = static_cast<float>(rest + slope * offset);
          if (d.offset) {
            d.offset[place] =
                static_cast<float>(double{gain[at]} * sums[at] + slope * double{a.sums[place]} + static_cast<double>(a.positions) * rest);
          }
        }
      }
      norm_backward(x, dx, a.positions, stride, piece.width, gain.data(), q.data(), r.data());
      made.put(d.x, piece);
    }
  });
}

template void group_norm_silu(const GroupNormSilu<float>&, float*);
template void group_norm_silu(const GroupNormSilu<c10::BFloat16>&, c10::BFloat16*);
template void group_norm_silu_backward(const GroupNormSilu<float>&, const GroupNormSiluGradient<float>&);
template void group_norm_silu_backward(const GroupNormSilu<c10::BFloat16>&, const GroupNormSiluGradient<c10::BFloat16>&);

}  // namespace dpm::cpu
