// One head's attention, forward and backward, by tiles: lanes are queries while scores are made, and channels where rows of
// values, or of gradients, are summed.
#pragma once
#include "ops/attention_cpu.h"
#include "ops/attention_tiles.h"

namespace dpm::cpu {

// Where one head's rows lie.
template <typename T>
struct HeadRows {
  T* first;
  std::int64_t stride;
  T* row(std::int64_t position) const { return first + position * stride; }
};

template <typename Kernel>
struct WideHead {
  using Vector = typename Kernel::Vector;
  static constexpr int block = 2 * Kernel::lanes;  // queries at once

  std::int64_t positions, width;
  std::int64_t padded_positions = (positions + Kernel::rows - 1) / Kernel::rows * Kernel::rows;
  std::int64_t padded_width = (width + Kernel::lanes - 1) / Kernel::lanes * Kernel::lanes;

  std::int64_t forward_scratch() const { return 2 * padded_positions * padded_width + block * (3 * padded_width + padded_positions + 2); }
  std::int64_t backward_scratch() const { return 4 * padded_positions * padded_width + block * (5 * padded_width + 2 * padded_positions + 3); }

  // Rows of the head as floats; behind the last stand copies of it, so that what is made of them is as finite.
  template <typename T>
  DPM_INLINE void unpack(const HeadRows<const T>& from, std::int64_t begin, std::int64_t end, float* to) const {
    for (std::int64_t s = begin; s < end; ++s)
      unpack_row(from.row(s < positions ? s : positions - 1), to + (s - begin) * padded_width, width, padded_width);
  }

  // The queries of a block: `count` rows, and zeros.
  template <typename T>
  DPM_INLINE void unpack_block(const HeadRows<const T>& from, std::int64_t begin, std::int64_t count, float* to) const {
    for (std::int64_t i = 0; i < count; ++i) unpack_row(from.row(begin + i), to + i * padded_width, width, padded_width);
    for (std::int64_t k = count * padded_width; k < block * padded_width; ++k) to[k] = 0.0f;
  }

  // scores[j][i] = sum over c of rows[j][c] columns[c][i].
  DPM_INLINE void score(const float* rows, const float* columns, float* scores) const {
    for (std::int64_t j = 0; j < padded_positions; j += Kernel::rows)
      Kernel::template product<2, false>(rows + j * padded_width, padded_width, 1, columns, block, width, scores + j * block, block);
  }

  // sums[i][c] = sum over j of scores[j][i] rows[j][c].
  DPM_INLINE void mix(const float* scores, const float* rows, std::int64_t count, float* sums) const {
    for (std::int64_t i = 0; i < count; i += Kernel::rows)
      Kernel::template product_rows<false>(scores + i, 1, block, rows, padded_width, positions, sums + i * padded_width, padded_width, padded_width);
  }

  // sums[j][c] += sum over i of scores[j][i] rows[i][c].
  DPM_INLINE void collect(const float* scores, const float* rows, std::int64_t count, float* sums) const {
    for (std::int64_t j = 0; j < padded_positions; j += Kernel::rows)
      Kernel::template product_rows<true>(scores + j * block, block, 1, rows, padded_width, count, sums + j * padded_width, padded_width,
                                          padded_width);
  }

  // Queries begin … end - 1; `begin` is a multiple of the block.
  template <typename T>
  DPM_INLINE void forward(const HeadRows<const T> (&joint)[3], const HeadRows<T>& mixed, float* statistics, std::int64_t begin, std::int64_t end,
                          float* scratch) const {
    float* const keys = scratch;
    float* const values = keys + padded_positions * padded_width;
    float* const queries = values + padded_positions * padded_width;
    float* const columns = queries + block * padded_width;
    float* const sums = columns + block * padded_width;
    float* const scores = sums + block * padded_width;
    float* const largest = scores + block * padded_positions;
    float* const inverses = largest + block;
    unpack(joint[1], 0, padded_positions, keys);
    unpack(joint[2], 0, padded_positions, values);
    const float factor = 1.44269504088896341f / std::sqrt(static_cast<float>(width));
    for (std::int64_t start = begin; start < end; start += block) {
      const std::int64_t count = end - start < block ? end - start : block;
      unpack_block(joint[0], start, count, queries);
      transpose(queries, padded_width, columns, block, block, padded_width, factor);
      score(keys, columns, scores);
#pragma GCC unroll 2
      for (int v = 0; v < block; v += Kernel::lanes) {
        Vector top = Kernel::load(scores + v);
        for (std::int64_t j = 1; j < positions; ++j) top = Kernel::larger(Kernel::load(scores + j * block + v), top);
        Vector sum{};
        for (std::int64_t j = 0; j < positions; ++j) {
          const Vector p = Kernel::power_of_two(Kernel::load(scores + j * block + v) - top);
          sum += p;
          Kernel::store(scores + j * block + v, p);
        }
        Kernel::store(largest + v, top);
        Kernel::store(inverses + v, 1.0f / sum);
      }
      mix(scores, values, count, sums);
      for (std::int64_t i = 0; i < count; ++i) pack_row(sums + i * padded_width, mixed.row(start + i), width, inverses[i]);
      if (statistics) {
        std::memcpy(statistics + start, largest, static_cast<std::size_t>(count) * sizeof(float));
        std::memcpy(statistics + positions + start, inverses, static_cast<std::size_t>(count) * sizeof(float));
      }
    }
  }

  template <typename T>
  DPM_INLINE void backward(const HeadRows<const T> (&joint)[3], const float* statistics, const HeadRows<const T>& by_mixed,
                           const HeadRows<T> (&by_joint)[3], float* scratch) const {
    const std::int64_t size = padded_positions * padded_width, block_size = block * padded_width;
    float* const keys = scratch;
    float* const values = keys + size;
    float* const by_keys = values + size;
    float* const by_values = by_keys + size;
    float* const queries = by_values + size;
    float* const query_columns = queries + block_size;
    float* const ups = query_columns + block_size;
    float* const up_columns = ups + block_size;
    float* const by_queries = up_columns + block_size;
    float* const probabilities = by_queries + block_size;
    float* const slopes = probabilities + block * padded_positions;
    float* const largest = slopes + block * padded_positions;
    float* const inverses = largest + block;
    unpack(joint[1], 0, padded_positions, keys);
    unpack(joint[2], 0, padded_positions, values);
    std::memset(by_keys, 0, static_cast<std::size_t>(2 * size) * sizeof(float));
    const float scale = 1.0f / std::sqrt(static_cast<float>(width)), factor = 1.44269504088896341f / std::sqrt(static_cast<float>(width));
    for (std::int64_t start = 0; start < positions; start += block) {
      const std::int64_t count = positions - start < block ? positions - start : block;
      unpack_block(joint[0], start, count, queries);
      unpack_block(by_mixed, start, count, ups);
      transpose(queries, padded_width, query_columns, block, block, padded_width, factor);
      transpose(ups, padded_width, up_columns, block, block, padded_width, 1.0f);
      for (std::int64_t i = 0; i < block; ++i) {
        largest[i] = i < count ? statistics[start + i] : 0.0f;
        inverses[i] = i < count ? statistics[positions + start + i] : 0.0f;
      }
      score(keys, query_columns, probabilities);
      score(values, up_columns, slopes);
#pragma GCC unroll 2
      for (int v = 0; v < block; v += Kernel::lanes) {
        const Vector top = Kernel::load(largest + v), inverse = Kernel::load(inverses + v);
        Vector mean{};  // of the slopes by the probabilities, under the probabilities
        for (std::int64_t j = 0; j < positions; ++j) {
          const Vector p = Kernel::power_of_two(Kernel::load(probabilities + j * block + v) - top) * inverse;
          Kernel::store(probabilities + j * block + v, p);
          mean += p * Kernel::load(slopes + j * block + v);
        }
        for (std::int64_t j = 0; j < positions; ++j) {
          const Vector slope = Kernel::load(slopes + j * block + v) - mean;
          Kernel::store(slopes + j * block + v, Kernel::load(probabilities + j * block + v) * scale * slope);
        }
      }
      collect(probabilities, ups, count, by_values);
      collect(slopes, queries, count, by_keys);
      mix(slopes, keys, count, by_queries);
      for (std::int64_t i = 0; i < count; ++i) pack_row(by_queries + i * padded_width, by_joint[0].row(start + i), width, 1.0f);
    }
    for (std::int64_t s = 0; s < positions; ++s) {
      pack_row(by_keys + s * padded_width, by_joint[1].row(s), width, 1.0f);
      pack_row(by_values + s * padded_width, by_joint[2].row(s), width, 1.0f);
    }
  }
};

}  // namespace dpm::cpu
