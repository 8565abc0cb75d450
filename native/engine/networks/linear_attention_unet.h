// The U-Net of lib/networks/linear-attention-unet.ts: there the skeleton, the settings and the parameter names.
#pragma once
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "layers/layers.h"
#include "layers/memory_attention.h"
#include "layers/rms_norm.h"
#include "networks/network.h"

namespace dpm {

struct LinearAttentionUnetSettings {
  explicit LinearAttentionUnetSettings(const Settings& settings);

  std::int64_t channels, input_width, memory, groups, halving_kernel, time_features;  // groups 0: root-mean-square norms
  std::vector<std::int64_t> widths, full_attention, heads, head_channels;             // of each level
  std::string time_embedding;
  double time_theta, dropout;
  Initialization start;
  std::int64_t embedding_channels = 0;  // of time and class together

  std::int64_t time_channels() const { return 4 * channels; }
  MemoryAttentionSettings attention(std::size_t level, std::int64_t width, bool full) const {
    return {width, heads[level], head_channels[level], memory, !full};
  }
};

// shortcut(x) + second(dropout(first(x))): each a 3×3 convolution, a norm and SiLU; the embedding scales and shifts the first norm.
class PostNormBlock {
 public:
  PostNormBlock() = default;
  PostNormBlock(ParameterList& list, const std::string& name, std::int64_t in, std::int64_t out, const LinearAttentionUnetSettings& settings);
  // told: silu of the embedding of time and class, N×E.
  at::Tensor operator()(Pass& pass, const at::Tensor& x, const at::Tensor& told) const;

 private:
  using Norm = std::variant<RmsNorm, GroupNorm>;
  static Norm norm_of(ParameterList& list, const std::string& name, std::int64_t channels, std::int64_t groups);

  Convolution conv1_, conv2_;
  Norm norm1_, norm2_;
  Linear time_;
  std::optional<Convolution> shortcut_;
  double dropout_ = 0;
};

// Of stride 2, with a kernel of 2 or of 4 that reads a pixel beyond each border.
class HalvingConvolution {
 public:
  HalvingConvolution(ParameterList& list, const std::string& name, std::int64_t in, std::int64_t out, std::int64_t kernel,
                     const Initialization& start);
  at::Tensor operator()(const Pass& pass, const at::Tensor& x) const;

 private:
  ParameterIndex weight_, bias_;
  std::int64_t kernel_;
};

class LinearAttentionUnet final : public Network {
 public:
  explicit LinearAttentionUnet(const Settings& settings);
  at::Tensor forward(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const override;
  bool can_recompute() const override { return true; }

 private:
  // Two blocks, of which the second is followed by attention; the convolution behind them changes size or channels.
  struct Level {
    PostNormBlock block1, block2;
    MemoryAttention attention;
    std::optional<HalvingConvolution> halve;
    Convolution convolution;
  };
  void build_time();
  void build_down();
  void build_up();
  at::Tensor time_features(const Pass& pass, const at::Tensor& labels) const;
  // silu of the embedding of time and class, N×E.
  at::Tensor condition(const Pass& pass, const Conditioning& conditioning) const;

  LinearAttentionUnetSettings settings_;
  std::optional<ParameterIndex> frequencies_, class_table_;
  Linear time_in_, time_out_, class_in_, class_out_;
  Convolution input_, output_;
  std::vector<Level> down_, up_;  // the finest first
  PostNormBlock middle1_, middle2_, output_block_;
  MemoryAttention middle_attention_;
};

}  // namespace dpm
