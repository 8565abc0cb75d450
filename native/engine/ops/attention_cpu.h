// softmax(q k' / sqrt(d)) v of every head, read from joint rows and written in place: nothing is permuted or copied in
// memory, and nothing of size positions × positions is kept.
//
// Sums and softmax are float32 whatever T is. The gradient makes the probabilities again from q, k and what the softmax of
// each row was divided by (Dao et al. 2022, arXiv 2205.14135, algorithms 1 and 4). The numbers of a head
// depend on that head alone: not on the other images of the batch, nor on the number of threads.
#pragma once
#include <cstdint>

namespace dpm::cpu {

// Joint rows of 3E: element c of part p (query, key, value) of head h at position s of image n is
// n image_stride + s row_stride + h head_stride + p part_stride + c.
struct AttentionLayout {
  std::int64_t count, positions, heads, width;  // width: channels of a head; E = heads · width
  std::int64_t image_stride, row_stride, head_stride, part_stride;
};

// mixed: N × positions × E. statistics: N × heads × 2 × positions, of each query its largest score, to base 2, and the inverse
// of the sum of all powers below that; or null when no gradient is wanted.
template <typename T>
void attend(const AttentionLayout& layout, const T* joint, T* mixed, float* statistics);

// by_mixed: N × positions × E. by_joint: as joint, but without gaps between rows. All of it is written.
template <typename T>
void attend_backward(const AttentionLayout& layout, const T* joint, const float* statistics, const T* by_mixed, T* by_joint);

}  // namespace dpm::cpu
