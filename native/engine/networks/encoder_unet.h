// The classifier of lib/networks/encoder-unet.ts: there the skeleton, the settings and the parameter names.
#pragma once
#include <memory>
#include <vector>

#include "networks/unet_encoder.h"

namespace dpm {

// What makes logits of the encoder's features.
class LogitPool {
 public:
  virtual ~LogitPool() = default;
  // N×K.
  virtual at::Tensor operator()(const Pass& pass, const UnetEncoder::Encoding& encoding) const = 0;
};

class EncoderUnet final : public Network {
 public:
  explicit EncoderUnet(const Settings& settings);
  at::Tensor forward(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const override;
  std::vector<std::int64_t> output_shape() const override { return {shape().output_channels}; }
  bool can_recompute() const override { return true; }

 private:
  UnetSettings settings_;
  UnetEncoder encoder_;
  std::unique_ptr<const LogitPool> pool_;
};

}  // namespace dpm
