// The multilayer perceptron of lib/networks/mlp.ts: there its formulas, settings and parameter names.
#pragma once
#include <optional>
#include <vector>

#include "layers/layers.h"
#include "networks/network.h"

namespace dpm {

class Mlp final : public Network {
 public:
  explicit Mlp(const Settings& settings);
  at::Tensor forward(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const override;
  bool can_recompute() const override { return true; }

 private:
  struct Block {
    Linear in, time;
    std::optional<Linear> out;  // of a residual block
  };
  // What the blocks read of time and class, N×width.
  at::Tensor condition(const Pass& pass, const Conditioning& conditioning) const;
  at::Tensor run(const Block& block, Pass& pass, const at::Tensor& h, const at::Tensor& condition) const;

  std::int64_t time_channels_;
  std::string time_embedding_;
  Activation activation_;
  double dropout_;
  std::optional<ParameterIndex> frequencies_, class_table_;
  Linear time_in_, time_out_, input_, output_;
  std::vector<Block> blocks_;
};

}  // namespace dpm
