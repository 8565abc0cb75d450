#include "layers/resampling.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/conv_transpose2d.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/reflection_pad2d.h>
#include <ATen/ops/tensor.h>

namespace dpm {
namespace {

// One 4×4 filter per channel, C×1×4×4, whose weights sum to `gain`.
at::Tensor filters(const at::Tensor& x, double gain) {
  const at::Tensor taps = at::tensor({0.125, 0.375, 0.375, 0.125}, at::TensorOptions().dtype(at::kDouble));
  return (at::outer(taps, taps) * gain).to(x.device(), x.scalar_type()).expand({x.size(1), 1, 4, 4});
}

}  // namespace

at::Tensor smooth_half_size(const at::Tensor& x, Border border) {
  const bool mirrored = border == Border::mirrored;
  const at::Tensor padded = mirrored ? at::reflection_pad2d(x, {1, 1, 1, 1}) : x;
  const std::int64_t padding = mirrored ? 0 : 1;
  return at::conv2d(padded, filters(x, 1), {}, {2, 2}, at::IntArrayRef({padding, padding}), {1, 1}, x.size(1));
}

at::Tensor smooth_double_size(const at::Tensor& x, Border border) {
  const bool mirrored = border == Border::mirrored;
  const at::Tensor padded = mirrored ? at::reflection_pad2d(x, {1, 1, 1, 1}) : x;
  // A transposed convolution cuts its padding off: one pixel, and two more for the mirrored one that was doubled.
  const std::int64_t cut = mirrored ? 3 : 1;
  return at::conv_transpose2d(padded, filters(x, 4), {}, {2, 2}, {cut, cut}, {0, 0}, x.size(1));
}

at::Tensor before_halving(const at::Tensor& x, bool smooth) {
  if (!smooth) return at::avg_pool2d(x, {2, 2}, {1, 1}, {1, 1});
  return at::conv2d(x, filters(x, 1), {}, {1, 1}, at::IntArrayRef({2, 2}), {1, 1}, x.size(1));
}

}  // namespace dpm
