// The U-Net of lib/networks/unet.ts: there the skeleton, the settings and the parameter names.
#pragma once
#include <vector>

#include "networks/unet_encoder.h"

namespace dpm {

class Unet final : public Network {
 public:
  explicit Unet(const Settings& settings);
  at::Tensor forward(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const override;
  bool can_recompute() const override { return true; }

 private:
  UnetSettings settings_;
  UnetEncoder encoder_;
  std::vector<UnetLevel> up_;
  GroupNorm output_norm_;
  Convolution output_;
};

}  // namespace dpm
