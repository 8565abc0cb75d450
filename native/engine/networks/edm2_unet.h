// The magnitude-preserving U-Net of lib/networks/edm2-unet.ts: there its formulas, settings and parameter names.
#pragma once
#include <optional>
#include <vector>

#include "layers/magnitude_preserving.h"
#include "networks/network.h"

namespace dpm {

// Settings that every block shares.
struct Edm2Settings {
  explicit Edm2Settings(const Settings& settings);

  std::int64_t blocks, head_channels, noise_channels, embedding_channels;
  std::vector<std::int64_t> widths, attention_resolutions;
  double label_balance, concat_balance, residual_balance, attention_balance, dropout, clip;

  bool attends(std::int64_t resolution) const;
};

class Edm2Block {
 public:
  enum class Side { encoder, decoder };
  enum class Resize { none, halve, twice };
  Edm2Block(ParameterList& list, const std::string& name, std::int64_t in, std::int64_t out, const Edm2Settings& settings, Side side, bool attention,
            Resize resize = Resize::none);
  // embedding: N×E, already through mp_silu.
  at::Tensor operator()(Pass& pass, const at::Tensor& x, const at::Tensor& embedding) const;
  void force(const std::vector<at::Tensor>& parameters) const;

 private:
  at::Tensor run(Pass& pass, const at::Tensor& given, const at::Tensor& embedding) const;
  at::Tensor attend(const Pass& pass, const at::Tensor& x) const;

  Side side_;
  Resize resize_;
  std::int64_t heads_;
  double residual_balance_, attention_balance_, dropout_, clip_;
  MpConvolution conv1_, conv2_;
  MpLinear time_;
  ParameterIndex time_gain_;
  std::optional<MpConvolution> shortcut_, qkv_, out_;
};

class Edm2Unet final : public Network {
 public:
  explicit Edm2Unet(const Settings& settings);
  at::Tensor forward(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const override;
  bool can_recompute() const override { return true; }
  void constrain(const std::vector<at::Tensor>& parameters) const override;

 private:
  struct Level {
    std::optional<Edm2Block> resample;
    std::vector<Edm2Block> blocks;
  };
  at::Tensor condition(const Pass& pass, const Conditioning& conditioning) const;

  Edm2Settings settings_;
  MpFourier fourier_;
  MpLinear noise_;
  std::optional<MpWeight> class_table_;  // channels×classes
  MpConvolution input_, output_;
  ParameterIndex output_gain_;
  std::vector<Level> encoder_, decoder_;
  std::vector<Edm2Block> middle_;
};

}  // namespace dpm
