// Magnitude-preserving layers (Karras et al. 2024, arXiv 2312.02696, section 2.4 and appendix B): what goes in with elements of
// mean square one comes out so, whatever was learned. "mp" is the paper's short name for it.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>

#include "networks/network.h"

namespace dpm {

// x divided by its root mean square over the dimensions, plus 1e-4.
at::Tensor unit_magnitude(const at::Tensor& x, at::IntArrayRef dimensions);

// silu(x) / 0.596 (equation 81).
at::Tensor mp_silu(const at::Tensor& x);

// ((1 - t) a + t b) / sqrt((1 - t)^2 + t^2) (equation 88).
at::Tensor mp_sum(const at::Tensor& a, const at::Tensor& b, double t);

// Channels of a, then of b: both count as t says, whatever their numbers (equation 103).
at::Tensor mp_cat(const at::Tensor& a, const at::Tensor& b, double t);

// A weight of which only the direction counts: each output's row has magnitude one (equations 47 and 66).
class MpWeight {
 public:
  MpWeight() = default;
  // shape: out×in, or out×in×height×width.
  MpWeight(ParameterList& list, const std::string& name, std::vector<std::int64_t> shape);
  // gain * w / |w|, out of which a product with x of magnitude one has magnitude |gain|. gain: a scalar, or undefined for 1.
  at::Tensor operator()(const Pass& pass, const at::Tensor& gain = {}) const;
  // The rows at mean square one.
  at::Tensor rows(const Pass& pass) const;
  // Forced weight normalisation: writes the rows at mean square one over the weight itself, so that steps of the optimizer keep
  // the size that they have relative to it.
  void force(const std::vector<at::Tensor>& parameters) const;

 private:
  ParameterIndex index_ = 0;
  std::int64_t fan_in_ = 1;
};

class MpLinear {
 public:
  MpLinear() = default;
  MpLinear(ParameterList& list, const std::string& name, std::int64_t in, std::int64_t out) : weight(list, name + ".weight", {out, in}) {}
  at::Tensor operator()(const Pass& pass, const at::Tensor& x, const at::Tensor& gain = {}) const;

  MpWeight weight;
};

// kernel 1 or 3; a 3×3 kernel pads by 1.
class MpConvolution {
 public:
  MpConvolution() = default;
  MpConvolution(ParameterList& list, const std::string& name, std::int64_t in, std::int64_t out, int kernel);
  at::Tensor operator()(const Pass& pass, const at::Tensor& x, const at::Tensor& gain = {}) const;

  MpWeight weight;

 private:
  int kernel_ = 3;
};

// sqrt(2) cos(frequency * label + phase) of random frequencies and phases that are never learned (equation 75).
class MpFourier {
 public:
  MpFourier() = default;
  MpFourier(ParameterList& list, const std::string& name, std::int64_t channels);
  // labels: N → N×channels.
  at::Tensor operator()(const Pass& pass, const at::Tensor& labels) const;

 private:
  ParameterIndex frequencies_ = 0, phases_ = 0;
};

}  // namespace dpm
