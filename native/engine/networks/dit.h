// The diffusion transformer of lib/networks/dit.ts: there its formulas, settings and parameter names.
#pragma once
#include <optional>
#include <vector>

#include "layers/tokens.h"
#include "networks/network.h"

namespace dpm {

class Dit final : public Network {
 public:
  explicit Dit(const Settings& settings);
  at::Tensor forward(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const override;
  bool can_recompute() const override { return true; }

 private:
  struct Block {
    TokenAttention attention;
    FeedForward feed_forward;
    Linear modulation;
  };
  static at::Tensor run(const Block& block, const Pass& pass, const at::Tensor& tokens, const at::Tensor& c);
  // silu of time + class, N×D: what every modulation reads.
  at::Tensor condition(const Pass& pass, const Conditioning& conditioning) const;

  std::int64_t patch_;
  Patches patches_;
  at::Tensor positions_;  // 1×T×D, on the CPU
  Linear time_in_, time_out_;
  std::optional<ParameterIndex> class_table_;
  std::vector<Block> blocks_;
  Linear output_modulation_, output_;
};

}  // namespace dpm
