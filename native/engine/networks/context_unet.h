// The U-Net of lib/networks/context-unet.ts: there the skeleton, the settings and the parameter names.
#pragma once
#include <optional>
#include <vector>

#include "layers/batch_norm.h"
#include "layers/layers.h"
#include "networks/network.h"

namespace dpm {

// Twice 3×3 convolution, batch norm, GELU.
class ContextBlock {
 public:
  ContextBlock() = default;
  ContextBlock(ParameterList& list, const std::string& name, std::int64_t in, std::int64_t out, const Initialization& start);
  at::Tensor operator()(const Pass& pass, const at::Tensor& x) const;

 private:
  Convolution conv1_, conv2_;
  BatchNorm norm1_, norm2_;
};

// Linear, GELU, linear: a vector for every channel of a level.
class ContextEmbedding {
 public:
  ContextEmbedding() = default;
  ContextEmbedding(ParameterList& list, const std::string& name, std::int64_t in, std::int64_t out, const Initialization& start);
  // N×in → N×out×1×1.
  at::Tensor operator()(const Pass& pass, const at::Tensor& x) const;

 private:
  Linear in_, out_;
};

class ContextUnet final : public Network {
 public:
  explicit ContextUnet(const Settings& settings);
  at::Tensor forward(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const override;

 private:
  struct Level {
    std::vector<ContextBlock> down, up;
    PatchConvolution enlarge;
    ContextEmbedding time;
    std::optional<ContextEmbedding> context;
  };
  at::Tensor straight(const Pass& pass, const at::Tensor& x) const;

  std::int64_t height_, width_;  // of the coarsest level
  ContextBlock input_;
  std::optional<ParameterIndex> shortcut_weight_, shortcut_bias_;  // none where x has the channels already
  std::vector<Level> levels_;                                      // the finest first
  PatchConvolution start_;
  GroupNorm start_norm_, output_norm_;
  Convolution output_in_, output_out_;
};

}  // namespace dpm
