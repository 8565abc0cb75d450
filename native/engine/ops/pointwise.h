// Convolutions 1×1 of float32 images: products of matrices, rows × in by in × out, in registers of our own. oneDNN's, in a
// training step, reach half of what its 3×3 convolutions do: they are too short for what they prepare.
#pragma once
#include <cstdint>

namespace dpm::cpu {

// rows: pixels of all images, channels-last in memory.
struct PointwiseShape {
  std::int64_t rows, in, out;
};

// Whether the processor has the instructions, the channels fill its registers, and there are rows enough. DPM_TORCH_POINTWISE=0:
// never.
bool pointwise_fits(const PointwiseShape& shape);

// weight: out × in. bias: `out` numbers or null.
void pointwise_forward(const PointwiseShape& shape, const float* x, const float* weight, const float* bias, float* y);

// The gradient of x from that of y.
void pointwise_backward_data(const PointwiseShape& shape, const float* dy, const float* weight, float* dx);

// The gradients of the weight and, where not null, of the bias; the same for any number of threads.
void pointwise_backward_weight(const PointwiseShape& shape, const float* x, const float* dy, float* dweight, float* dbias);

// What one thread sums of a weight's gradient.
struct PointwisePart {
  std::int64_t out_begin, out_end, in_begin, in_end;
};

// What one instruction set gives.
struct PointwiseKernels {
  // Columns that share a pass over the rows, and the fewest rows of a `multiply`.
  std::int64_t panel, rows;
  // Rows of the scratch memory of `backward_weight`, of `panel` floats each.
  std::int64_t depth;
  // Rows begin … end of y. packed: the weight turned, in panels of `panel` columns, each in × panel, the last of half as many
  // where `out` is an odd number of halves.
  void (*multiply)(const PointwiseShape& shape, const float* x, const float* packed, const float* bias, float* y, std::int64_t begin,
                   std::int64_t end);
  // Sets its part of dweight; adds to dbias, where not null.
  void (*backward_weight)(const PointwiseShape& shape, const float* x, const float* dy, const PointwisePart& part, float* scratch, float* dweight,
                          float* dbias);
};

const PointwiseKernels& pointwise_avx2();
const PointwiseKernels& pointwise_avx512();

}  // namespace dpm::cpu
