#include "networks/mlp.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/sin.h>

#include <cmath>
#include <string>

#include "error.h"
#include "layers/recompute.h"

namespace dpm {
namespace {

// The kernel knows images.
at::Tensor dropped(Pass& pass, const at::Tensor& h, double probability) {
  return dropout(pass, h.unsqueeze(-1).unsqueeze(-1), probability).flatten(1);
}

}  // namespace

Mlp::Mlp(const Settings& settings)
    : Network(settings),
      time_channels_(settings.integer("timeChannels")),
      time_embedding_(settings.text("timeEmbedding")),
      activation_(activation_of(settings.text("activation"))),
      dropout_(settings.number("dropout")) {
  const std::int64_t width = settings.integer("hiddenWidth"), depth = settings.integer("depth"), positions = shape().height * shape().width;
  const bool residual = settings.flag("residual");
  // TypeScript has said this in its own words.
  DPM_CHECK(width >= 1 && time_channels_ >= 4 && time_channels_ % 2 == 0, "DPM_INVALID_OPTION",
            "The native settings `hiddenWidth` and `timeChannels` do not fit together.");
  Initialization start{initialization_scheme(settings.text("initialization"))};
  if (activation_ == Activation::leaky_relu) start.slope = 0.2;
  ParameterList& list = parameters_;
  if (time_embedding_ == "fourier") {
    frequencies_ = list.add_statistic("time.frequencies", {time_channels_ / 2}, {Initializer::Kind::normal, settings.number("fourierScale")});
  }
  time_in_ = Linear(list, "time.in", time_channels_, width, start);
  time_out_ = Linear(list, "time.out", width, width, start);
  if (shape().classes > 0) class_table_ = list.add("classes.weight", {class_rows(), width}, {Initializer::Kind::normal, 1});
  input_ = Linear(list, "input", (shape().input_channels + shape().condition_channels) * positions, width, start);
  for (std::int64_t i = 0; i < depth; ++i) {
    const std::string name = "blocks." + std::to_string(i);
    Block block;
    block.in = Linear(list, name + ".in", width, width, start);
    block.time = Linear(list, name + ".time", width, width, start);
    if (residual) block.out.emplace(list, name + ".out", width, width, start);
    blocks_.push_back(std::move(block));
  }
  output_ = Linear(list, "output", width, shape().output_channels * positions, start);
}

at::Tensor Mlp::condition(const Pass& pass, const Conditioning& conditioning) const {
  at::Tensor embedding;
  if (frequencies_) {
    const at::Tensor angles = conditioning.labels.to(at::kDouble).unsqueeze(1) * (pass[*frequencies_].to(at::kDouble) * (2 * M_PI)).unsqueeze(0);
    embedding = at::cat({at::sin(angles), at::cos(angles)}, 1).to(at::kFloat);
  } else {
    embedding = time_embedding(conditioning.labels, time_channels_, time_embedding_);
  }
  embedding = time_out_(pass, activate(activation_, time_in_(pass, embedding)));
  if (class_table_) embedding = embedding + at::embedding(pass[*class_table_], conditioning.classes);
  return activate(activation_, embedding);
}

at::Tensor Mlp::run(const Block& block, Pass& pass, const at::Tensor& h, const at::Tensor& condition) const {
  if (pass.cancellation) pass.cancellation->throw_if_requested();
  const at::Tensor before = block.out ? activate(activation_, h) : h;
  const at::Tensor inner = dropped(pass, activate(activation_, block.in(pass, before) + block.time(pass, condition)), dropout_);
  return block.out ? h + (*block.out)(pass, inner) : inner;
}

at::Tensor Mlp::forward(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const {
  const at::Tensor c = condition(pass, conditioning);
  const at::Tensor seen = conditioning.image.defined() ? at::cat({x, conditioning.image}, 1) : x;
  at::Tensor h = input_(pass, seen.flatten(1));
  bool residual = false;
  for (const Block& block : blocks_) {
    h = recompute(pass, h, c, [this, &block](Pass& p, const at::Tensor& in, const at::Tensor& beside) { return run(block, p, in, beside); });
    residual = block.out.has_value();
  }
  if (residual) h = activate(activation_, h);
  return output_(pass, h).view({x.size(0), shape().output_channels, shape().height, shape().width}).contiguous(at::MemoryFormat::ChannelsLast);
}

}  // namespace dpm
