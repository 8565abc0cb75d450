#include "networks/u_vit.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/add.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/silu.h>

#include <string>

#include "error.h"
#include "layers/initializers.h"
#include "layers/recompute.h"

namespace dpm {
namespace {

constexpr double kEpsilon = 1e-5;
const Initializer kSmall{Initializer::Kind::normal, 0.02};
const Initialization kTorch{Initialization::Scheme::torch, Initialization::Last::like_others};

}  // namespace

UVit::Block UVit::make_block(const std::string& name, const Settings& settings, bool skip) {
  ParameterList& list = parameters_;
  Block block;
  if (skip) block.skip = Linear(list, name + ".skip", 2 * channels_, channels_, kSmall);
  block.norm1 = LayerNorm(list, name + ".norm1", channels_, kEpsilon);
  block.attention = TokenAttention(list, name + ".attention", channels_, settings.integer("heads"), kSmall, kSmall, settings.flag("qkvBias"));
  block.norm2 = LayerNorm(list, name + ".norm2", channels_, kEpsilon);
  block.feed_forward =
      FeedForward(list, name + ".feedForward", channels_, settings.integer("hiddenChannels"), kSmall, kSmall, FeedForward::Gelu::exact);
  return block;
}

UVit::UVit(const Settings& settings) : Network(settings), patch_(settings.integer("patch")), channels_(settings.integer("channels")) {
  const std::int64_t heads = settings.integer("heads");
  // TypeScript has said this in its own words; here it keeps a mistake there from dividing by zero.
  DPM_CHECK(patch_ >= 1 && heads >= 1 && channels_ >= 2 && channels_ % 2 == 0 && channels_ % heads == 0 && settings.integer("hiddenChannels") >= 1,
            "DPM_INVALID_OPTION", "The native settings `patch`, `channels`, `heads` and `hiddenChannels` do not fit together.");
  ParameterList& list = parameters_;
  const std::int64_t in = shape().input_channels + shape().condition_channels, area = patch_ * patch_;
  patches_ = Patches(list, "patches", in, channels_, patch_, weight_initializer(kTorch, Role::inner, in * area, channels_),
                     bias_initializer(kTorch, Role::inner, in * area));
  if (settings.flag("timeFeedForward")) {
    time_in_ = Linear(list, "time.in", channels_, 4 * channels_, kSmall);
    time_out_ = Linear(list, "time.out", 4 * channels_, channels_, kSmall);
  }
  if (shape().classes > 0) class_table_ = list.add("classes.weight", {class_rows(), channels_}, {Initializer::Kind::normal, 1});
  const std::int64_t length = (shape().height / patch_) * (shape().width / patch_) + (class_table_ ? 2 : 1);
  positions_ = list.add("positions", {length, channels_}, kSmall);
  const std::int64_t half = settings.integer("depth") / 2;
  for (std::int64_t i = 0; i < half; ++i) in_.push_back(make_block("in." + std::to_string(i), settings, false));
  middle_ = make_block("middle", settings, false);
  for (std::int64_t i = 0; i < half; ++i) out_.push_back(make_block("out." + std::to_string(i), settings, settings.flag("skips")));
  output_norm_ = LayerNorm(list, "output.norm", channels_, kEpsilon);
  output_ = Linear(list, "output.linear", channels_, area * shape().output_channels, kSmall);
  if (settings.flag("finalConvolution")) {
    convolution_ = Convolution(list, "output.conv", shape().output_channels, shape().output_channels, 3, kTorch);
  }
}

at::Tensor UVit::leading(const Pass& pass, const Conditioning& conditioning) const {
  at::Tensor time = time_embedding(conditioning.labels, channels_, "improved");
  if (time_in_) time = (*time_out_)(pass, at::silu((*time_in_)(pass, time)));
  time = time.unsqueeze(1);
  if (!class_table_) return time;
  return at::cat({at::embedding(pass[*class_table_], conditioning.classes).unsqueeze(1), time}, 1);
}

at::Tensor UVit::run(const Block& block, Pass& pass, const at::Tensor& tokens, const at::Tensor& skip) {
  const auto part = [&block](Pass& inner, const at::Tensor& x, const at::Tensor& beside) {
    if (inner.cancellation) inner.cancellation->throw_if_requested();
    const at::Tensor joined = block.skip ? (*block.skip)(inner, at::cat({x, beside}, 2)) : x;
    const at::Tensor attended = joined + block.attention(inner, block.norm1(inner, joined));
    return attended + block.feed_forward(inner, block.norm2(inner, attended));
  };
  // What does not read a skip is told of its own input twice: there is no gradient in that.
  return recompute(pass, tokens, block.skip ? skip : tokens.detach(), part);
}

at::Tensor UVit::forward(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const {
  const at::Tensor before = leading(pass, conditioning);
  const at::Tensor patches = patches_(pass, conditioning.image.defined() ? at::cat({x, conditioning.image}, 1) : x);
  at::Tensor tokens = at::cat({before, patches}, 1) + pass[positions_];
  std::vector<at::Tensor> skips;
  for (const Block& block : in_) {
    tokens = run(block, pass, tokens);
    skips.push_back(tokens);
  }
  tokens = run(middle_, pass, tokens);
  for (const Block& block : out_) {
    tokens = run(block, pass, tokens, skips.back());
    skips.pop_back();
  }
  tokens = output_(pass, output_norm_(pass, tokens)).narrow(1, before.size(1), patches.size(1));
  const at::Tensor image = image_of_patches(tokens, patch_, shape().height / patch_, shape().width / patch_);
  return convolution_ ? (*convolution_)(pass, image) : image;
}

}  // namespace dpm
