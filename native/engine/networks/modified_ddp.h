// The pair of networks of lib/networks/modified-ddp.ts: there its formulas, settings and parameter names.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "layers/batch_norm.h"
#include "layers/layers.h"
#include "networks/forward_step.h"
#include "networks/network.h"

namespace dpm {

// Convolution, batch norm, leaky ReLU, dropout, convolution, batch norm; leaky ReLU of the sum with x.
class StepBlock {
 public:
  StepBlock() = default;
  StepBlock(ParameterList& list, const std::string& name, std::int64_t in, std::int64_t out, std::int64_t embedding, const Initialization& start,
            double dropout);
  at::Tensor operator()(Pass& pass, const at::Tensor& x, const at::Tensor& embedding) const;

 private:
  at::Tensor run(Pass& pass, const at::Tensor& x, const at::Tensor& embedding) const;

  Convolution conv1_, conv2_;
  BatchNorm norm1_, norm2_;
  Linear time_;
  std::optional<Convolution> shortcut_;
  double dropout_ = 0;
};

struct StepSettings {
  std::int64_t in, out;
  std::vector<std::int64_t> widths;  // of the levels, the finest first
  std::int64_t class_rows;           // 0: it is not told a class
  Initialization start;
  double dropout;
  double time_scale;  // on the time label, 0 … 1
};

// The network of one step: down through the levels, and up again beside what was seen on the way.
class StepNetwork {
 public:
  StepNetwork() = default;
  StepNetwork(ParameterList& list, const std::string& name, const StepSettings& settings);
  // labels: N. classes: N int64, read where it is told one.
  at::Tensor operator()(Pass& pass, const at::Tensor& x, const at::Tensor& labels, const at::Tensor& classes) const;

 private:
  std::int64_t time_channels_ = 0;
  double time_scale_ = 1;
  Linear time_in_, time_out_;
  std::optional<ParameterIndex> class_table_;
  Convolution input_, output_;
  std::vector<StepBlock> down_, up_;
};

class ModifiedDdp final : public Network, public ForwardStep {
 public:
  explicit ModifiedDdp(const Settings& settings);
  at::Tensor forward(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const override;
  at::Tensor encode(Pass& pass, const at::Tensor& x, const at::Tensor& labels, const at::Tensor& gate) const override;
  bool can_recompute() const override { return true; }

 private:
  StepNetwork forward_step_, reverse_step_;
};

}  // namespace dpm
