// The RefineNet of lib/networks/refinenet.ts: there the skeleton, the settings and the parameter names.
#pragma once
#include <optional>
#include <vector>

#include "layers/activation.h"
#include "layers/instance_norm.h"
#include "layers/layers.h"
#include "networks/network.h"

namespace dpm {

// Settings that every block shares.
struct RefinenetSettings {
  explicit RefinenetSettings(const Settings& settings);

  std::vector<std::int64_t> widths, dilations;  // of each level
  std::int64_t blocks, levels;                  // levels of noise that are told apart; 0: none
  bool largest;                                 // chained pooling by the largest value, not the mean
  Activation activation;
  Initialization start;
};

// x after norm, activation and 3×3 convolution; the norm only where noise levels are told apart.
class RefiningConvolution {
 public:
  RefiningConvolution(ParameterList& list, const std::string& name, std::int64_t channels, const RefinenetSettings& settings);
  at::Tensor operator()(const Pass& pass, const at::Tensor& x, const at::Tensor& level) const;

 private:
  std::optional<InstanceNormPlus> norm_;
  Convolution conv_;
  Activation activation_;
};

// Residual convolution unit: `units` times x + two refining convolutions of x.
class ResidualUnits {
 public:
  ResidualUnits(ParameterList& list, const std::string& name, std::int64_t channels, int units, const RefinenetSettings& settings);
  at::Tensor operator()(const Pass& pass, at::Tensor x, const at::Tensor& level) const;

 private:
  std::vector<RefiningConvolution> convolutions_;  // two for each unit
};

// Where a coarser result meets a level of the way down: residual units on each, their sum at the finer size (multi-resolution
// fusion), chained residual pooling, residual units.
class RefineBlock {
 public:
  // in: channels of what comes together; one of them at the coarsest level.
  RefineBlock(ParameterList& list, const std::string& name, const std::vector<std::int64_t>& in, std::int64_t out, bool last,
              const RefinenetSettings& settings);
  at::Tensor operator()(const Pass& pass, const std::vector<at::Tensor>& inputs, const at::Tensor& level) const;

 private:
  struct Joint {
    std::optional<InstanceNormPlus> norm;
    Convolution conv;
  };
  at::Tensor fuse(const Pass& pass, const std::vector<at::Tensor>& adapted, const at::Tensor& level) const;

  std::vector<ResidualUnits> adapt_;
  std::vector<Joint> fuse_, pool_;  // no fuse where there is one input
  std::optional<ResidualUnits> output_;
  Activation activation_;
  bool largest_;
};

class DilatedBlock {
 public:
  // The first block of a level below the first halves the image, or keeps its size and dilates.
  DilatedBlock(ParameterList& list, const std::string& name, std::int64_t in, std::int64_t out, int dilation, bool first,
               const RefinenetSettings& settings);
  at::Tensor operator()(const Pass& pass, const at::Tensor& x, const at::Tensor& level) const;

 private:
  InstanceNormPlus norm1_;
  Convolution conv1_;
  InstanceNormPlus norm2_;
  Convolution conv2_;
  std::optional<Convolution> shortcut_;
  bool halves_;
  Activation activation_;
};

class Refinenet final : public Network {
 public:
  explicit Refinenet(const Settings& settings);
  at::Tensor forward(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const override;
  // Labels that choose a row of a table must be one.
  void check(const at::Tensor& x, const Conditioning& conditioning) const override;

 private:
  RefinenetSettings settings_;
  std::vector<std::vector<DilatedBlock>> down_;
  std::vector<RefineBlock> refine_;  // the finest first
  Convolution input_, output_;
  std::optional<InstanceNormPlus> output_norm_;
};

}  // namespace dpm
