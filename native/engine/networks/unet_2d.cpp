#include "networks/unet_2d.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/add.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/log.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/sin.h>

#include <cmath>

#include "error.h"

namespace dpm {
namespace {

// Labels that name rows of a table.
at::Tensor rows_of(const at::Tensor& labels, std::int64_t rows) {
  const at::Tensor values = labels.to(at::kCPU, at::kDouble).contiguous();
  const double* value = values.const_data_ptr<double>();
  for (std::int64_t n = 0; n < values.numel(); ++n) {
    DPM_CHECK(value[n] == std::floor(value[n]) && value[n] >= 0 && value[n] < static_cast<double>(rows), "DPM_INVALID_ARGUMENT",
              "Expected a whole number from 0 to " + std::to_string(rows - 1) + " for `labels[" + std::to_string(n) + "]` but received " +
                  std::to_string(value[n]) + ": the network's time embedding is a table.");
  }
  return labels.to(at::kLong);
}

Initialization start_of(const Settings& settings) {
  const std::string& last = settings.text("zeroLayers");
  Initialization start;
  start.scheme = initialization_scheme(settings.text("initialization"));
  start.last = last == "zero" ? Initialization::Last::zero : last == "tiny" ? Initialization::Last::tiny : Initialization::Last::like_others;
  return start;
}

}  // namespace

LabelFeatures::LabelFeatures(ParameterList& list, const Settings& settings)
    : width_(settings.integer("timeChannels")),
      rows_(settings.integer("timeRows")),
      shift_(settings.number("freqShift")),
      cosine_first_(settings.flag("flipSinToCos")),
      fourier_(settings.text("timeEmbeddingType") == "fourier") {
  // Song et al. draw the frequencies once and leave them.
  if (fourier_) weight_ = list.add_statistic("time.projection.weight", {width_}, {Initializer::Kind::normal, 16});
  if (rows_ > 0) weight_ = list.add("time.projection.weight", {rows_, width_}, {Initializer::Kind::normal, 1});
}

at::Tensor LabelFeatures::operator()(const Pass& pass, const at::Tensor& labels) const {
  if (rows_ > 0) return at::embedding(pass[*weight_], rows_of(labels, rows_));
  if (!fourier_) return sinusoids(labels, width_, shift_, cosine_first_);
  const at::Tensor angles = at::log(labels.to(at::kDouble)).unsqueeze(1) * pass[*weight_].to(at::kDouble).unsqueeze(0) * (2 * M_PI);
  return at::cat({at::sin(angles), at::cos(angles)}, 1).to(at::kFloat);
}

Unet2d::Unet2d(const Settings& settings)
    : Network(settings),
      center_(settings.flag("centerInputSample")),
      divides_by_label_(settings.text("timeEmbeddingType") == "fourier"),
      paints_(settings.flag("paints")),
      embedding_channels_(settings.integer("embeddingChannels")),
      classes_(settings.text("classEmbedding")),
      activation_(activation_of(settings.text("activation"))) {
  ParameterList& list = parameters_;
  const Initialization start = start_of(settings);
  const std::int64_t channels = settings.integer("timeChannels"), embedding = embedding_channels_;
  features_.emplace(list, settings);
  time_in_ = Linear(list, "time.in", features_->channels(), embedding, start);
  time_out_ = Linear(list, "time.out", embedding, embedding, start);
  if (classes_ == "table") class_table_ = list.add("classes.weight", {class_rows(), embedding}, {Initializer::Kind::normal, 1});
  if (classes_ == "timestep") {
    class_in_ = Linear(list, "classes.in", features_->channels(), embedding, start);
    class_out_ = Linear(list, "classes.out", embedding, embedding, start);
  }
  const std::int64_t seen = shape().input_channels + shape().condition_channels;
  input_ = Convolution(list, "input", seen, channels, 3, start);
  const Unet2dLayerSettings shared{embedding, seen, shape().output_channels, activation_, settings.number("normEps"), settings.number("dropout"),
                                   start};
  for (const auto& layer : settings.nested_list("layers")) layers_.push_back(make_unet_2d_layer(list, *layer, shared));
  output_norm_ = GroupNorm(list, "output.norm", channels, settings.integer("outputGroups"), settings.number("normEps"));
  output_ = Convolution(list, "output.conv", channels, shape().output_channels, 3, start, Role::last);
}

Embedding Unet2d::embed(const Pass& pass, const Conditioning& conditioning) const {
  at::Tensor embedding = time_out_(pass, at::silu(time_in_(pass, (*features_)(pass, conditioning.labels))));
  if (classes_ == "table") embedding = embedding + at::embedding(pass[class_table_], conditioning.classes);
  if (classes_ == "timestep") embedding = embedding + class_out_(pass, at::silu(class_in_(pass, (*features_)(pass, conditioning.classes))));
  return {embedding, activate(activation_, embedding)};
}

at::Tensor Unet2d::forward(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const {
  at::Tensor seen = conditioning.image.defined() ? at::cat({x, conditioning.image}, 1) : x;
  if (center_) seen = seen * 2 - 1;
  Unet2dFlow flow{pass, embed(pass, conditioning), input_(pass, seen), seen, {}, {}};
  for (const auto& layer : layers_) (*layer)(flow);
  at::Tensor output = output_(pass, output_norm_.silu(pass, flow.features));
  if (paints_) output = output + flow.painted;
  return divides_by_label_ ? output / conditioning.labels.view({-1, 1, 1, 1}) : output;
}

}  // namespace dpm
