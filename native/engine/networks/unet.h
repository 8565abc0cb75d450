// The U-Net of lib/networks/unet.ts: there the skeleton, the settings and the parameter names.
#pragma once
#include <optional>
#include <vector>

#include "layers/layers.h"
#include "layers/residual_block.h"
#include "networks/network.h"

namespace dpm {

// Settings that every block shares.
struct UnetSettings {
  explicit UnetSettings(const Settings& settings);

  std::int64_t channels, blocks, heads, head_channels, groups, minimum_group_channels;
  std::vector<std::int64_t> multipliers, attention_resolutions, fourier_features;
  bool middle_attention, interleaved, asymmetric, scale_shift;
  std::string resampling, time_embedding;
  double skip_scale, group_epsilon, dropout;
  Initialization start;

  // Channels of x with its Fourier features.
  std::int64_t input_channels(std::int64_t x) const { return x * (1 + 2 * static_cast<std::int64_t>(fourier_features.size())); }
  std::int64_t time_channels() const { return 4 * channels; }
  std::int64_t groups_of(std::int64_t width) const;
  bool attends(std::int64_t resolution) const;
  AttentionSettings attention(std::int64_t width) const;
  ResidualSettings block(std::int64_t in, std::int64_t out, ResidualSettings::Resize resize = ResidualSettings::Resize::none) const;
};

class Unet final : public Network {
 public:
  explicit Unet(const Settings& settings);
  at::Tensor forward(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const override;
  bool can_recompute() const override { return true; }

 private:
  struct Level {
    std::vector<ResidualBlock> blocks;
    std::vector<std::optional<Attention>> attentions;
    std::optional<Convolution> resample;
    std::optional<ResidualBlock> resample_block;
  };
  // x, with its Fourier features and the image that is seen beside it as further channels.
  at::Tensor input(const at::Tensor& x, const Conditioning& conditioning) const;
  static at::Tensor run_block(Pass& pass, const ResidualBlock& block, const std::optional<Attention>& attention, const at::Tensor& x,
                              const Embedding& time);
  Embedding condition(const Pass& pass, const Conditioning& conditioning) const;

  UnetSettings settings_;
  Linear time_in_, time_out_;
  std::optional<ParameterIndex> class_table_;
  Convolution input_, output_;
  std::vector<Level> down_, up_;
  std::vector<ResidualBlock> middle_;
  std::optional<Attention> middle_attention_;
  GroupNorm output_norm_;
};

}  // namespace dpm
