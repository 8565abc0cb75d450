// The training step, one job: draw noise → mix by the rows → network → loss → backward → clip → optimizer → averages.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "cancellation.h"
#include "networks/network.h"
#include "precision.h"
#include "settings.h"
#include "training/batch.h"
#include "training/loss_scale.h"

namespace dpm {

class Training {
 public:
  // Settings: optimizer 'adam' | 'adamw', beta1, beta2, epsilon, weightDecay, clipNorm (0: none), averages, precision,
  // activationCheckpointing.
  Training(std::shared_ptr<WeightedNetwork> network, const Settings& settings);

  // A step whose loss or gradient is not finite leaves everything as it was and says so in the report. In float16 the loss
  // is scaled so that small gradients survive; a gradient that overflows then halves the scale and is skipped, down to a
  // scale of 1, where it counts as not finite.
  StepReport step(const Batch& batch, const Cancellation* cancellation);

  // What the weights are: how many updates they have seen, and how often they were written from outside.
  struct Standing {
    double step;
    std::int64_t writes;
  };
  // Drops what is left of an update that did not come to its end, so that what is read next is whole. Throws DPM_NATIVE where
  // the optimizer itself was cut short: then the weights are those of no step.
  Standing settle();
  // The weights have seen so many updates elsewhere: the next one must follow these. Until the first update, averaged copies
  // follow what is written into the network; one that begins later starts from the weights of its step.
  void begin(double step);

  // A copy of the network's structure over averaged weights, shared with this training.
  std::shared_ptr<WeightedNetwork> averaged(std::size_t index) const;

  // State tensors: `optimizer.first.P`, `optimizer.second.P`, `average.0.P` … for every parameter P; statistics only in averages;
  // in float16 `optimizer.scale`.
  std::vector<std::pair<std::string, std::vector<std::int64_t>>> names() const;
  at::Tensor read(const std::string& name) const;
  void write(const std::string& name, const at::Tensor& value);

 private:
  const at::Tensor& state(const std::string& name, std::string& parameter) const;
  void accumulate(const Batch& batch, StepReport& report, const Cancellation* cancellation);
  at::Tensor loss_gradient(const Batch& batch, const at::Tensor& output, const at::Tensor& target, StepReport& report) const;
  void update(const Batch& batch, StepReport& report);
  // Throws DPM_INVALID_ARGUMENT for a part that does not follow what was made: of an update behind one that failed.
  void check_order(const Batch& batch) const;
  void made(double step);
  // As if the batch had not begun: no gradient, statistics as they were.
  void drop_batch();
  at::Tensor statistics_of(const at::Tensor& flat) const;

  std::shared_ptr<WeightedNetwork> network_;
  std::vector<at::Tensor> leaves_;  // the parameters as autograd sees them, their gradients views of gradients_
  at::Tensor gradients_, first_, second_;
  at::Tensor statistics_before_;  // those before the batch, or undefined where the network has none
  std::vector<at::Tensor> averages_;
  bool accumulating_ = false;  // gradients_ holds part of a batch
  bool decoupled_;
  double beta1_, beta2_, epsilon_, weight_decay_, clip_norm_;
  Precision precision_;
  bool activation_checkpointing_;
  LossScale scale_;
  bool spoiled_ = false;  // a micro-batch of the batch being accumulated failed or was not finite
  double made_ = 0;       // updates that the weights have seen
  double seen_ = 0;       // examples of the batch being accumulated
  bool torn_ = false;     // an exception has left the optimizer in the middle of an update
};

}  // namespace dpm
