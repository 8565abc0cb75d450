// The training step, one job: draw noise → mix by the rows → network → loss → backward → clip → optimizer → averages.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "cancellation.h"
#include "networks/network.h"
#include "ops/kernels.h"
#include "precision.h"
#include "settings.h"

namespace dpm {

struct Batch {
  at::Tensor images;     // N×C×H×W, uint8 or float32, on the CPU
  at::Tensor classes;    // N int64, or undefined
  at::Tensor condition;  // N×K×H×W float32 that the network sees beside x, or undefined
  std::vector<Row> rows;
  std::vector<double> examples, epochs;
  double seed;
  double total;  // size of the whole batch, of which this may be a part
  LossKind loss;
  bool first;  // begins a batch: a gradient that a cancelled one left is dropped
  bool updates;
  double learning_rate;
  double step;  // 1-based count of updates
  std::vector<double> averaging_decays;
};

struct StepReport {
  double loss = 0;
  double gradient_norm = 0;
  std::vector<double> losses;
  bool finite = true;
};

class Training {
 public:
  // Settings: optimizer 'adam' | 'adamw', beta1, beta2, epsilon, weightDecay, clipNorm (0: none), averages, precision.
  Training(std::shared_ptr<WeightedNetwork> network, const Settings& settings);

  // A step whose loss or gradient is not finite leaves everything as it was and says so in the report.
  StepReport step(const Batch& batch, const Cancellation* cancellation);

  // A copy of the network's structure over averaged weights, shared with this training.
  std::shared_ptr<WeightedNetwork> averaged(std::size_t index) const;

  // State tensors: `optimizer.first.P`, `optimizer.second.P`, `average.0.P` … for every parameter P.
  std::vector<std::pair<std::string, std::vector<std::int64_t>>> names() const;
  at::Tensor read(const std::string& name) const;
  void write(const std::string& name, const at::Tensor& value);

 private:
  const at::Tensor& state(const std::string& name, std::string& parameter) const;
  void accumulate(const Batch& batch, StepReport& report, const Cancellation* cancellation);
  void update(const Batch& batch, StepReport& report);
  void drop_gradient();

  std::shared_ptr<WeightedNetwork> network_;
  std::vector<at::Tensor> leaves_;  // the parameters as autograd sees them, their gradients views of gradients_
  at::Tensor gradients_, first_, second_;
  std::vector<at::Tensor> averages_;
  bool accumulating_ = false;  // gradients_ holds part of a batch
  bool decoupled_;
  double beta1_, beta2_, epsilon_, weight_decay_, clip_norm_;
  Precision precision_;
  bool spoiled_ = false;  // a micro-batch of the batch being accumulated failed or was not finite
};

}  // namespace dpm
