#include "training/training.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "error.h"
#include "ops/launch.h"
#include "profile.h"
#include "training/bound.h"
#include "training/cross_entropy.h"
#include "training/mixture.h"
#include "training/row_gradients.h"
#include "training/sliced.h"

namespace dpm {
namespace {

constexpr const char* kScaleName = "optimizer.scale";

at::Tensor labels_of(const Batch& batch, const at::Device& device) {
  at::Tensor labels = at::empty({static_cast<std::int64_t>(batch.rows.size())}, at::kFloat);
  auto* out = labels.mutable_data_ptr<float>();
  for (std::size_t n = 0; n < batch.rows.size(); ++n) out[n] = static_cast<float>(batch.rows[n].c_noise);
  return labels.to(device);
}

}  // namespace

Training::Training(std::shared_ptr<WeightedNetwork> network, const Settings& settings)
    : network_(std::move(network)),
      decoupled_(settings.text("optimizer") == "adamw"),
      beta1_(settings.number("beta1")),
      beta2_(settings.number("beta2")),
      epsilon_(settings.number("epsilon")),
      weight_decay_(settings.number("weightDecay")),
      clip_norm_(settings.number("clipNorm")),
      precision_(precision_of(settings.text("precision"))),
      activation_checkpointing_(settings.flag("activationCheckpointing")),
      scale_(precision_) {
  DPM_CHECK(!activation_checkpointing_ || network_->network->can_recompute(), "DPM_INVALID_OPTION",
            "`training.activationCheckpointing` is on, but this kind of network has no blocks that can run again. Turn it off.");
  const ParameterList& list = network_->network->parameters();
  const at::Device device = network_->device();
  gradients_ = list.allocate(device);
  first_ = list.allocate(device);
  second_ = list.allocate(device);
  const auto averages = settings.integer("averages");
  DPM_CHECK(averages >= 0 && averages <= OptimizerArguments::capacity, "DPM_INVALID_OPTION",
            "Expected at most " + std::to_string(OptimizerArguments::capacity) + " averaged copies.");
  network_->network->constrain(network_->parameters);
  // A network is followed by its newest training alone: the copies of one that is gone would live as long as the network.
  network_->followers.clear();
  for (std::int64_t i = 0; i < averages; ++i) {
    averages_.push_back(network_->flat.clone());
    network_->followers.push_back(list.views(averages_.back()));
  }

  const auto gradients = list.views(gradients_);
  for (std::size_t i = 0; i < network_->parameters.size(); ++i) {
    leaves_.push_back(network_->parameters[i].detach());
    if (!list.entries()[i].trained) continue;
    leaves_.back().requires_grad_(true);
    // Backward then adds into the flat buffer in place.
    leaves_.back().mutable_grad() = gradients[i];
  }
}

StepReport Training::step(const Batch& batch, const Cancellation* cancellation) {
  // Before anything is accumulated, so that a mistake leaves earlier micro-batches alone.
  DPM_CHECK(!batch.updates || batch.averaging_decays.size() == averages_.size(), "DPM_INVALID_ARGUMENT",
            "Expected " + std::to_string(averages_.size()) + " averaging decays, one per averaged copy, but received " +
                std::to_string(batch.averaging_decays.size()) + ".");
  check_order(batch);
  StepReport report;
  if (batch.first) {
    if (accumulating_) drop_batch();
    spoiled_ = false;
    seen_ = 0;
    if (network_->network->parameters().has_statistics()) statistics_before_ = statistics_of(network_->flat).clone();
  }
  accumulating_ = true;
  try {
    accumulate(batch, report, cancellation);
  } catch (...) {
    drop_batch();
    spoiled_ = true;
    throw;
  }
  seen_ += static_cast<double>(batch.rows.size());
  // A batch with one micro-batch that failed or is not finite updates nothing, whichever one it was.
  spoiled_ = spoiled_ || !report.finite;
  if (spoiled_) {
    drop_batch();
    report.finite = false;
  } else if (batch.updates) {
    update(batch, report);  // zeroes the gradient
    accumulating_ = false;
    if (report.finite) made(batch.follows < 0 ? made_ + 1 : batch.follows + 1);
  }
  return report;
}

void Training::check_order(const Batch& batch) const {
  if (batch.follows < 0) return;
  const auto number = [](double step) { return std::to_string(static_cast<std::int64_t>(step)); };
  DPM_CHECK(!torn_ && batch.follows == made_, "DPM_INVALID_ARGUMENT",
            "Update " + number(batch.follows + 1) + " does not follow the last one that was made, " + number(made_) + ": it is not made.");
  // A part that was cancelled before it began leaves a hole.
  const double missing = batch.total - (batch.first ? 0 : seen_) - static_cast<double>(batch.rows.size());
  DPM_CHECK(batch.first || accumulating_ || spoiled_, "DPM_INVALID_ARGUMENT", "A part of a batch came without the first one.");
  DPM_CHECK(!batch.updates || missing == 0 || (spoiled_ && !batch.first), "DPM_INVALID_ARGUMENT",
            "A part of the batch of update " + number(batch.follows + 1) + " is missing: it is not made.");
}

void Training::made(double step) {
  made_ = step;
  if (step > 0) network_->followers.clear();
}

Training::Standing Training::settle() {
  DPM_CHECK(!torn_, "DPM_NATIVE", "An update was cut short in the optimizer: the weights are those of no step.");
  if (accumulating_) drop_batch();
  return {made_, network_->writes};
}

void Training::begin(double step) {
  if (accumulating_) drop_batch();
  made(step);
}

at::Tensor Training::statistics_of(const at::Tensor& flat) const {
  const std::int64_t begin = network_->network->parameters().trained_size();
  return flat.narrow(0, begin, flat.numel() - begin);
}

void Training::drop_batch() {
  gradients_.zero_();
  if (statistics_before_.defined()) statistics_of(network_->flat).copy_(statistics_before_);
  accumulating_ = false;
}

void Training::accumulate(const Batch& batch, StepReport& report, const Cancellation* cancellation) {
  const at::Device device = network_->device();
  const ForwardStep* forward_step = batch.forward_step.empty() ? nullptr : forward_step_of(*network_->network);
  DPM_CHECK(forward_step || batch.forward_step.empty(), "DPM_INVALID_ARGUMENT",
            "Numbers of a learned forward step were given, but the network does not learn it.");
  DPM_CHECK(!forward_step || (!batch.sliced && !batch.row_gradients), "DPM_INVALID_ARGUMENT",
            "A learned forward step goes neither with sliced score matching nor with row gradients.");
  Mixture mixture = mix(batch, device);
  const std::int64_t count = mixture.input.size(0), channels = mixture.input.size(1);
  constexpr double missing = std::numeric_limits<double>::quiet_NaN();
  report.losses.resize(batch.rows.size());
  report.bounds.assign(batch.rows.size(), missing);
  if (batch.row_gradients) report.row_gradients.assign(batch.rows.size() * (sizeof(Row) / sizeof(double)), 0);

  at::Tensor labels = labels_of(batch, device);
  Conditioning conditioning{labels, batch.cross_entropy ? at::Tensor() : batch.classes, batch.condition};
  if (batch.cross_entropy) {
    check_targets(batch, *network_->network);
  } else {
    network_->network->denoising_channels(channels);
  }
  network_->network->check(mixture.input, conditioning);
  if (batch.row_gradients) {
    mixture.input.requires_grad_(true);
    labels.requires_grad_(true);
  }
  conditioning = network_->network->prepare(std::move(conditioning), count, device);
  const DropoutKeys keys{key_of(batch.seed), batch.examples.data(), batch.epochs.data()};
  Pass pass{leaves_, &keys, cancellation};
  pass.twice = batch.sliced;
  pass.training = true;
  pass.precision = precision_;
  // What is differentiated twice needs the whole graph.
  pass.activation_checkpointing = activation_checkpointing_ && !batch.sliced;
  const auto forward = [&](const at::Tensor& x) {
    const at::AutoGradMode with_gradient(true);
    const PrecisionScope scope(precision_, device);
    const at::Tensor output = network_->network->forward(pass, x, conditioning).to(at::kFloat);
    return batch.cross_entropy ? output : output.contiguous(at::MemoryFormat::ChannelsLast);
  };

  if (forward_step) {
    const at::AutoGradMode with_gradient(true);
    const PrecisionScope scope(precision_, device);
    mixture = mix_through(*forward_step, batch, pass, conditioning.labels);
  }
  at::Tensor root, gradient;  // what the backward pass starts from
  if (batch.sliced) {
    root = sliced_losses(batch, mixture.input, forward);
    const at::Tensor losses = root.detach().to(at::kCPU);
    std::copy_n(losses.const_data_ptr<double>(), batch.rows.size(), report.losses.begin());
    std::vector<double> weights;
    for (const Row& row : batch.rows) weights.push_back(row.weight / batch.total);
    gradient = at::tensor(weights, losses.options()).to(device);
  } else {
    root = forward(mixture.input);
    gradient = batch.cross_entropy ? cross_entropy_gradient(batch, root, report) : loss_gradient(batch, root, mixture.target.detach(), report);
  }
  for (std::size_t n = 0; n < batch.rows.size(); ++n) {
    const Row& row = batch.rows[n];
    report.loss += row.weight * report.losses[n] / batch.total;
    if (row.bound_weight != 0) report.loss += row.bound_weight * report.bounds[n] / batch.total;
  }
  report.finite = std::isfinite(report.loss);
  if (!report.finite) return;
  if (cancellation) cancellation->throw_if_requested();
  const PhaseScope phase(Phase::backward);
  const double scale = scale_.factor();
  if (scale != 1) gradient = gradient * scale;
  // The loss is of output minus target, and a learned forward step moves the target.
  if (forward_step)
    torch::autograd::backward({root, mixture.target}, {gradient, -gradient.narrow(1, 0, channels)});
  else
    torch::autograd::backward({root}, {gradient});
  if (batch.row_gradients) {
    const at::Tensor by_output = gradient.narrow(1, 0, channels) / scale;
    add_row_gradients(batch, mixture.input.grad() / scale, labels.grad() / scale, by_output, report);
  }
}

at::Tensor Training::loss_gradient(const Batch& batch, const at::Tensor& output, const at::Tensor& target, StepReport& report) const {
  const at::NoGradGuard no_grad;
  const std::int64_t count = target.size(0), channels = target.size(1);
  const bool halves = output.size(1) != channels;
  // The kernel reads and writes whole examples; a learned variance, the second half, is the bound's alone.
  const at::Tensor mean = halves ? output.narrow(1, 0, channels).contiguous(at::MemoryFormat::ChannelsLast) : output.detach();
  const at::Tensor by_mean = at::empty_like(mean);
  {
    const Operation operation("dpm::loss", {mean, target}, {by_mean});
    launch_loss(output.device(), {mean.const_data_ptr<float>(), target.const_data_ptr<float>(), by_mean.mutable_data_ptr<float>(),
                                  report.losses.data(), batch.rows.data(), batch.total, count, mean.numel() / count, batch.loss, batch.loss_scale});
  }
  at::Tensor gradient = by_mean;
  if (halves) {
    gradient = at::zeros_like(output);
    gradient.narrow(1, 0, channels).copy_(by_mean);
  }
  if (batch.bounded()) add_bound(batch, output, target, gradient, report);
  return gradient;
}

void Training::update(const Batch& batch, StepReport& report) {
  const PhaseScope phase(Phase::update);
  const at::Device device = network_->device();
  const double scale = scale_.factor();
  report.loss_scale = scale;
  report.gradient_norm = std::sqrt(launch_squared_norm(gradients_)) / scale;
  if (!std::isfinite(report.gradient_norm)) {
    report.skipped = scale_.overflowed();
    report.finite = report.skipped;
    drop_batch();
    return;
  }
  OptimizerArguments a{};
  a.values = network_->flat.mutable_data_ptr<float>();
  a.gradients = gradients_.mutable_data_ptr<float>();
  a.first = first_.mutable_data_ptr<float>();
  a.second = second_.mutable_data_ptr<float>();
  a.averages_count = static_cast<int>(averages_.size());
  for (std::size_t i = 0; i < averages_.size(); ++i) {
    a.averages[i] = averages_[i].mutable_data_ptr<float>();
    a.keep[i] = static_cast<float>(batch.averaging_decays[i]);
  }
  a.size = network_->network->parameters().trained_size();
  // torch.nn.utils.clip_grad_norm_'s factor.
  a.gradient_scale =
      clip_norm_ > 0 ? static_cast<float>(std::min(1.0, clip_norm_ / (report.gradient_norm + 1e-6)) / scale) : static_cast<float>(1 / scale);
  a.beta1 = static_cast<float>(beta1_);
  a.beta2 = static_cast<float>(beta2_);
  a.epsilon = static_cast<float>(epsilon_);
  a.step_size = static_cast<float>(batch.learning_rate / (1 - std::pow(beta1_, batch.step)));
  a.second_correction = static_cast<float>(1 / std::sqrt(1 - std::pow(beta2_, batch.step)));
  a.decay = decoupled_ ? 0.0f : static_cast<float>(weight_decay_);
  a.shrink = decoupled_ ? static_cast<float>(1 - batch.learning_rate * weight_decay_) : 1.0f;
  torn_ = true;
  std::vector<at::Tensor> moved{network_->flat, gradients_, first_, second_};
  moved.insert(moved.end(), averages_.begin(), averages_.end());
  {
    const Operation operation("dpm::optimizer", moved, moved);
    launch_optimizer(device, a);
  }
  scale_.updated();
  if (statistics_before_.defined()) {
    for (const at::Tensor& average : averages_) statistics_of(average).copy_(statistics_of(network_->flat));
  }
  network_->network->constrain(network_->parameters);
  // The kernel writes behind libtorch's back: a pass recorded before this update must refuse to go backward through it.
  network_->flat.unsafeGetTensorImpl()->bump_version();
  for (const at::Tensor& average : averages_) average.unsafeGetTensorImpl()->bump_version();
  torn_ = false;
}

std::shared_ptr<WeightedNetwork> Training::averaged(std::size_t index) const {
  DPM_CHECK(index < averages_.size(), "DPM_INVALID_ARGUMENT",
            "There are " + std::to_string(averages_.size()) + " averaged copies, asked for number " + std::to_string(index) + ".");
  auto result = std::make_shared<WeightedNetwork>();
  result->network = network_->network;
  result->flat = averages_[index];
  result->parameters = network_->network->parameters().views(result->flat);
  return result;
}

std::vector<std::pair<std::string, std::vector<std::int64_t>>> Training::names() const {
  std::vector<std::pair<std::string, std::vector<std::int64_t>>> result;
  const auto add = [&](const std::string& prefix, bool statistics) {
    for (const auto& entry : network_->network->parameters().entries()) {
      if (entry.trained || statistics) result.emplace_back(prefix + entry.name, entry.shape);
    }
  };
  add("optimizer.first.", false);
  add("optimizer.second.", false);
  for (std::size_t i = 0; i < averages_.size(); ++i) add("average." + std::to_string(i) + ".", true);
  if (scale_.used()) result.push_back({kScaleName, {2}});
  return result;
}

const at::Tensor& Training::state(const std::string& name, std::string& parameter) const {
  const auto strip = [&](const std::string& prefix) {
    if (name.rfind(prefix, 0) != 0) return false;
    parameter = name.substr(prefix.size());
    return true;
  };
  if (strip("optimizer.first.")) return first_;
  if (strip("optimizer.second.")) return second_;
  for (std::size_t i = 0; i < averages_.size(); ++i) {
    if (strip("average." + std::to_string(i) + ".")) return averages_[i];
  }
  throw Error("DPM_INVALID_ARGUMENT", "The training has no tensor named \"" + name + "\".");
}

at::Tensor Training::read(const std::string& name) const {
  if (scale_.used() && name == kScaleName) return at::tensor({scale_.factor(), static_cast<double>(scale_.updates())}).to(at::kFloat);
  std::string parameter;
  const at::Tensor& flat = state(name, parameter);
  const ParameterList& list = network_->network->parameters();
  return list.views(flat)[list.find(parameter)].contiguous().clone();
}

void Training::write(const std::string& name, const at::Tensor& value) {
  if (scale_.used() && name == kScaleName) {
    DPM_CHECK(value.numel() == 2, "DPM_INVALID_ARGUMENT", "Expected two numbers for \"" + name + "\": the factor, and the updates since it changed.");
    const at::Tensor numbers = value.to(at::kCPU, at::kDouble).contiguous();
    scale_.restore(numbers.const_data_ptr<double>()[0], static_cast<std::int64_t>(numbers.const_data_ptr<double>()[1]));
    return;
  }
  std::string parameter;
  const at::Tensor& flat = state(name, parameter);
  const ParameterList& list = network_->network->parameters();
  const at::Tensor slot = list.views(flat)[list.find(parameter)];
  DPM_CHECK(slot.sizes() == value.sizes(), "DPM_INVALID_ARGUMENT", "The tensor for \"" + name + "\" has another shape than the parameter.");
  const at::NoGradGuard no_grad;
  slot.copy_(value);
}

}  // namespace dpm
