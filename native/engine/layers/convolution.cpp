#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/conv_transpose2d.h>
#include <ATen/ops/upsample_nearest2d.h>

#include "layers/initializers.h"
#include "layers/layers.h"

namespace dpm {

Convolution::Convolution(ParameterList& list, const std::string& name, std::int64_t in, std::int64_t out, Kernel kernel, const Initialization& start,
                         Role role, bool biased)
    : kernel_(kernel) {
  const std::int64_t area = std::int64_t{kernel.size} * kernel.size;
  weight_ = list.add(name + ".weight", {out, in, kernel.size, kernel.size}, weight_initializer(start, role, in * area, out * area));
  if (biased) bias_ = list.add(name + ".bias", {out}, bias_initializer(start, role, in * area));
}

at::Tensor Convolution::operator()(const Pass& pass, const at::Tensor& x) const {
  const std::int64_t dilation = kernel_.dilation, padding = dilation * (kernel_.size / 2);
  return at::conv2d(x, pass[weight_], bias(pass), {1, 1}, at::IntArrayRef({padding, padding}), {dilation, dilation});
}

at::Tensor Convolution::halve(const Pass& pass, const at::Tensor& x, bool asymmetric) const {
  if (asymmetric) return halve_inside(pass, at::constant_pad_nd(x, {0, 1, 0, 1}));
  return at::conv2d(x, pass[weight_], bias(pass), {2, 2}, at::IntArrayRef({1, 1}));
}

at::Tensor Convolution::halve_inside(const Pass& pass, const at::Tensor& x) const {
  return at::conv2d(x, pass[weight_], bias(pass), {2, 2}, at::IntArrayRef({0, 0}));
}

PatchConvolution::PatchConvolution(ParameterList& list, const std::string& name, std::int64_t in, std::int64_t out, std::int64_t height,
                                   std::int64_t width, const Initialization& start)
    : height_(height), width_(width) {
  const std::int64_t fan_out = out * height * width;
  // Every output has `in` inputs; PyTorch's own start takes the second axis of its weight for them.
  const std::int64_t fan_in = start.scheme == Initialization::Scheme::torch ? fan_out : in;
  weight_ = list.add(name + ".weight", {in, out, height, width}, weight_initializer(start, Role::inner, fan_in, fan_out));
  bias_ = list.add(name + ".bias", {out}, bias_initializer(start, Role::inner, fan_in));
}

at::Tensor PatchConvolution::operator()(const Pass& pass, const at::Tensor& x) const {
  return at::conv_transpose2d(x, pass[weight_], pass[bias_], {height_, width_});
}

at::Tensor double_size(const at::Tensor& x) { return at::upsample_nearest2d(x, {x.size(2) * 2, x.size(3) * 2}, 2.0, 2.0); }

at::Tensor nearest_size(const at::Tensor& x, std::int64_t height, std::int64_t width) { return at::upsample_nearest2d(x, {height, width}); }

at::Tensor half_size(const at::Tensor& x) { return at::avg_pool2d(x, {2, 2}, {2, 2}); }

}  // namespace dpm
