// The U-ViT of lib/networks/u-vit.ts: there its skeleton, settings and parameter names.
#pragma once
#include <optional>
#include <vector>

#include "layers/tokens.h"
#include "networks/network.h"

namespace dpm {

class UVit final : public Network {
 public:
  explicit UVit(const Settings& settings);
  at::Tensor forward(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const override;
  bool can_recompute() const override { return true; }

 private:
  struct Block {
    std::optional<Linear> skip;
    LayerNorm norm1, norm2;
    TokenAttention attention;
    FeedForward feed_forward;
  };
  Block make_block(const std::string& name, const Settings& settings, bool skip);
  // skip: what the opposite block gave, for blocks that read it.
  static at::Tensor run(const Block& block, Pass& pass, const at::Tensor& tokens, const at::Tensor& skip = {});
  // The tokens before those of the image, N×(1 or 2)×D: of the class, where there are classes, and of the time.
  at::Tensor leading(const Pass& pass, const Conditioning& conditioning) const;

  std::int64_t patch_, channels_;
  Patches patches_;
  std::optional<Linear> time_in_, time_out_;
  std::optional<ParameterIndex> class_table_;
  ParameterIndex positions_;
  std::vector<Block> in_, out_;
  Block middle_;
  LayerNorm output_norm_;
  Linear output_;
  std::optional<Convolution> convolution_;
};

}  // namespace dpm
