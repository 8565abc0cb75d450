// The same for heads of at most 8 channels: lanes are queries throughout, so that a block's queries and sums stay in
// registers. Gradients by keys and values are summed together, with channels of the two in turn as lanes.
#pragma once
#include <utility>

#include "ops/attention_heads.h"

namespace dpm::cpu {

template <typename Kernel>
struct NarrowHead {
  using Vector = typename Kernel::Vector;
  typedef long long Pairs __attribute__((vector_size(Kernel::lanes * 4), may_alias));
  static constexpr int channels = 8, lanes = Kernel::lanes;
  static constexpr int block = lanes;  // queries at once
  static constexpr int pair = 2 * channels;

  std::int64_t positions, width;
  std::int64_t padded_positions = (positions + Kernel::rows - 1) / Kernel::rows * Kernel::rows;

  static DPM_INLINE bool fits(std::int64_t width) { return width <= channels; }

  std::int64_t forward_scratch() const { return (2 * channels + block) * padded_positions + 2 * channels * block; }
  std::int64_t backward_scratch() const { return (2 * channels + pair + 2 * block) * padded_positions + (5 * channels + pair) * block; }

  template <typename T>
  DPM_INLINE void unpack(const HeadRows<const T>& from, std::int64_t begin, std::int64_t count, std::int64_t padded, float* to) const {
    if (width == channels) {
      for (std::int64_t s = 0; s < count; ++s) unpack_row(from.row(begin + s), to + s * channels, channels, channels);
    } else {
      for (std::int64_t s = 0; s < count; ++s) unpack_row(from.row(begin + s), to + s * channels, width, channels);
    }
    for (std::int64_t k = count * channels; k < padded * channels; ++k) to[k] = 0.0f;
  }

  template <typename T>
  DPM_INLINE void pack(const float* from, std::int64_t begin, std::int64_t count, const HeadRows<T>& to) const {
    if (width == channels) {
      for (std::int64_t s = 0; s < count; ++s) pack_row(from + s * channels, to.row(begin + s), channels, 1.0f);
    } else {
      for (std::int64_t s = 0; s < count; ++s) pack_row(from + s * channels, to.row(begin + s), width, 1.0f);
    }
  }

  // Sum over c of row[c] columns[c].
  static DPM_INLINE Vector dot(const float* row, const Vector (&columns)[channels]) {
    Vector sum = row[0] * columns[0];
#pragma GCC unroll 8
    for (int c = 1; c < channels; ++c) sum += row[c] * columns[c];
    return sum;
  }

  static DPM_INLINE void add(Vector (&sums)[channels], const float* row, Vector factor) {
#pragma GCC unroll 8
    for (int c = 0; c < channels; ++c) sums[c] += row[c] * factor;
  }

  static DPM_INLINE void load(const float* from, Vector (&columns)[channels]) {
#pragma GCC unroll 8
    for (int c = 0; c < channels; ++c) columns[c] = Kernel::load(from + c * block);
  }

  // a and b in turn: a0 b0 a1 b1 …, from lane `kFrom` of both.
  template <int kFrom, std::size_t... kIndices>
  static DPM_INLINE Vector in_turn(Vector a, Vector b, std::index_sequence<kIndices...>) {
    return __builtin_shufflevector(a, b, (kFrom + static_cast<int>(kIndices) / 2 + (kIndices % 2 ? lanes : 0))...);
  }

  template <typename T>
  DPM_INLINE void forward(const HeadRows<const T> (&joint)[3], const HeadRows<T>& mixed, float* statistics, std::int64_t begin, std::int64_t end,
                          float* scratch) const {
    float* const keys = scratch;
    float* const values = keys + channels * padded_positions;
    float* const scores = values + channels * padded_positions;
    float* const rows = scores + block * padded_positions;
    float* const columns = rows + channels * block;
    unpack(joint[1], 0, positions, positions, keys);
    unpack(joint[2], 0, positions, positions, values);
    const float factor = 1.44269504088896341f / std::sqrt(static_cast<float>(width));
    for (std::int64_t start = begin; start < end; start += block) {
      const std::int64_t count = end - start < block ? end - start : block;
      unpack(joint[0], start, count, block, rows);
      transpose(rows, channels, columns, block, block, channels, factor);
      Vector queries[channels];
      load(columns, queries);
      Vector top = dot(keys, queries);
      Kernel::store(scores, top);
      for (std::int64_t j = 1; j < positions; ++j) {
        const Vector score = dot(keys + j * channels, queries);
        top = Kernel::larger(score, top);
        Kernel::store(scores + j * block, score);
      }
      Vector sum{}, sums[channels] = {};
      for (std::int64_t j = 0; j < positions; ++j) {
        const Vector p = Kernel::power_of_two(Kernel::load(scores + j * block) - top);
        sum += p;
        add(sums, values + j * channels, p);
      }
      const Vector inverse = 1.0f / sum;
#pragma GCC unroll 8
      for (int c = 0; c < channels; ++c) Kernel::store(columns + c * block, sums[c] * inverse);
      transpose(columns, block, rows, channels, channels, block, 1.0f);
      pack(rows, start, count, mixed);
      if (statistics) {
        Kernel::store(columns, top);
        Kernel::store(columns + block, inverse);
        std::memcpy(statistics + start, columns, static_cast<std::size_t>(count) * sizeof(float));
        std::memcpy(statistics + positions + start, columns + block, static_cast<std::size_t>(count) * sizeof(float));
      }
    }
  }

  template <typename T>
  DPM_INLINE void backward(const HeadRows<const T> (&joint)[3], const float* statistics, const HeadRows<const T>& by_mixed,
                           const HeadRows<T> (&by_joint)[3], float* scratch) const {
    float* const keys = scratch;
    float* const values = keys + channels * padded_positions;
    float* const by_pairs = values + channels * padded_positions;
    float* const pairs = by_pairs + pair * padded_positions;
    float* const queries = pairs + 2 * block * padded_positions;
    float* const query_columns = queries + channels * block;
    float* const ups = query_columns + channels * block;
    float* const up_columns = ups + channels * block;
    float* const largest = up_columns + channels * block;
    float* const inverses = largest + block;
    float* const both = inverses + block;
    unpack(joint[1], 0, positions, positions, keys);
    unpack(joint[2], 0, positions, positions, values);
    std::memset(by_pairs, 0, static_cast<std::size_t>(pair * padded_positions) * sizeof(float));
    std::memset(pairs + 2 * block * positions, 0, static_cast<std::size_t>(2 * block * (padded_positions - positions)) * sizeof(float));
    const float scale = 1.0f / std::sqrt(static_cast<float>(width)), factor = 1.44269504088896341f / std::sqrt(static_cast<float>(width));
    for (std::int64_t start = 0; start < positions; start += block) {
      const std::int64_t count = positions - start < block ? positions - start : block;
      unpack(joint[0], start, count, block, queries);
      unpack(by_mixed, start, count, block, ups);
      transpose(queries, channels, query_columns, block, block, channels, factor);
      transpose(ups, channels, up_columns, block, block, channels, 1.0f);
      for (std::int64_t i = 0; i < block; ++i) {
        largest[i] = i < count ? statistics[start + i] : 0.0f;
        inverses[i] = i < count ? statistics[positions + start + i] : 0.0f;
        for (int c = 0; c < channels; ++c) {
          both[i * pair + 2 * c] = queries[i * channels + c];
          both[i * pair + 2 * c + 1] = ups[i * channels + c];
        }
      }
      const Vector mean = score(keys, values, query_columns, up_columns, Kernel::load(largest), Kernel::load(inverses), pairs);
      Vector sums[channels] = {};
      mix(keys, mean, scale, pairs, sums);
#pragma GCC unroll 8
      for (int c = 0; c < channels; ++c) Kernel::store(query_columns + c * block, sums[c]);
      transpose(query_columns, block, queries, channels, channels, block, 1.0f);
      pack(queries, start, count, by_joint[0]);
      for (std::int64_t j = 0; j < padded_positions; j += Kernel::rows) collect(pairs + 2 * block * j, both, count, by_pairs + pair * j);
    }
    for (std::int64_t s = 0; s < positions; ++s) {
      for (std::int64_t c = 0; c < width; ++c) {
        by_joint[1].row(s)[c] = static_cast<T>(by_pairs[s * pair + 2 * c]);
        by_joint[2].row(s)[c] = static_cast<T>(by_pairs[s * pair + 2 * c + 1]);
      }
    }
  }

 private:
  // Rows of `pairs`: the slopes by a key's scores, then the scores' probabilities. Returns the mean slope under these.
  DPM_INLINE Vector score(const float* keys, const float* values, const float* query_columns, const float* up_columns, Vector top, Vector inverse,
                          float* pairs) const {
    Vector queries[channels], ups[channels], mean{};
    load(query_columns, queries);
    load(up_columns, ups);
    for (std::int64_t j = 0; j < positions; ++j) {
      const Vector p = Kernel::power_of_two(dot(keys + j * channels, queries) - top) * inverse;
      const Vector slope = dot(values + j * channels, ups);
      mean += p * slope;
      Kernel::store(pairs + 2 * j * block, slope);
      Kernel::store(pairs + (2 * j + 1) * block, p);
    }
    return mean;
  }

  // Of `pairs` as above, makes the gradients by the scores, each beside its probability, and sums up those by the queries.
  DPM_INLINE void mix(const float* keys, Vector mean, float scale, float* pairs, Vector (&sums)[channels]) const {
    for (std::int64_t j = 0; j < positions; ++j) {
      float* const low = pairs + 2 * j * block;
      const Vector p = Kernel::load(low + block);
      const Vector slope = p * scale * (Kernel::load(low) - mean);
      add(sums, keys + j * channels, slope);
      Kernel::store(low, in_turn<0>(slope, p, std::make_index_sequence<lanes>()));
      Kernel::store(low + block, in_turn<lanes / 2>(slope, p, std::make_index_sequence<lanes>()));
    }
  }

  // For kRows keys: sums[j][c] += sum over i of the pair (j, i) times the pair c of query i.
  static DPM_INLINE void collect(const float* pairs, const float* both, std::int64_t count, float* sums) {
    constexpr int rows = Kernel::rows, vectors = pair / lanes;
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      Vector totals[rows];
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r) totals[r] = Kernel::load(sums + r * pair + v * lanes);
      for (std::int64_t i = 0; i < count; ++i) {
        const Vector right = Kernel::load(both + i * pair + v * lanes);
#pragma GCC unroll 16
        for (int r = 0; r < rows; ++r) {
          long long bits;
          std::memcpy(&bits, pairs + 2 * (r * block + i), sizeof(bits));
          totals[r] += reinterpret_cast<Vector>(Pairs{} + bits) * right;
        }
      }
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r) Kernel::store(sums + r * pair + v * lanes, totals[r]);
    }
  }
};

}  // namespace dpm::cpu
