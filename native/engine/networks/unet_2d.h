// The network of lib/networks/unet-2d.ts: there the settings, the parameter names and the order of the layers.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "layers/layers.h"
#include "networks/network.h"
#include "networks/unet_2d_layers.h"

namespace dpm {

// A label as the network is told it: sinusoids, Fourier features of its logarithm, or a row of a table.
class LabelFeatures {
 public:
  LabelFeatures(ParameterList& list, const Settings& settings);
  // labels: N → N×channels().
  at::Tensor operator()(const Pass& pass, const at::Tensor& labels) const;
  std::int64_t channels() const { return fourier_ ? 2 * width_ : width_; }

 private:
  std::int64_t width_, rows_;
  double shift_;
  bool cosine_first_, fourier_;
  std::optional<ParameterIndex> weight_;
};

class Unet2d final : public Network {
 public:
  explicit Unet2d(const Settings& settings);
  at::Tensor forward(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const override;
  bool can_recompute() const override { return true; }

 private:
  Embedding embed(const Pass& pass, const Conditioning& conditioning) const;

  bool center_, divides_by_label_, paints_;
  std::int64_t embedding_channels_;
  std::string classes_;
  Activation activation_;
  std::optional<LabelFeatures> features_;
  Linear time_in_, time_out_, class_in_, class_out_;
  ParameterIndex class_table_ = 0;
  Convolution input_, output_;
  std::vector<std::unique_ptr<Unet2dLayer>> layers_;
  GroupNorm output_norm_;
};

}  // namespace dpm
