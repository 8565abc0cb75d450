#include "networks/dit.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/silu.h>

#include <cmath>
#include <string>

#include "error.h"
#include "layers/initializers.h"
#include "layers/recompute.h"

namespace dpm {
namespace {

constexpr std::int64_t kTimeChannels = 256;
constexpr double kEpsilon = 1e-6;

Initializer xavier(std::int64_t in, std::int64_t out) { return weight_initializer({Initialization::Scheme::xavier_uniform}, Role::inner, in, out); }

// Row by row: the first half of the channels says the column, the second half the row, each as [sin, cos] of the
// coordinate times 1e4^(-i / (D/4)).
at::Tensor grid_positions(std::int64_t height, std::int64_t width, std::int64_t channels) {
  at::Tensor table = at::empty({1, height * width, channels}, at::kFloat);
  auto* out = table.mutable_data_ptr<float>();
  const std::int64_t quarter = channels / 4;
  for (std::int64_t row = 0; row < height; ++row) {
    for (std::int64_t column = 0; column < width; ++column) {
      for (const std::int64_t coordinate : {column, row}) {
        for (const bool cosine : {false, true}) {
          for (std::int64_t i = 0; i < quarter; ++i) {
            const double angle = static_cast<double>(coordinate) * std::pow(1e4, -static_cast<double>(i) / static_cast<double>(quarter));
            *out++ = static_cast<float>(cosine ? std::cos(angle) : std::sin(angle));
          }
        }
      }
    }
  }
  return table;
}

}  // namespace

Dit::Dit(const Settings& settings) : Network(settings), patch_(settings.integer("patch")) {
  const std::int64_t channels = settings.integer("channels"), heads = settings.integer("heads"), hidden = settings.integer("hiddenChannels");
  // TypeScript has said this in its own words; here it keeps a mistake there from dividing by zero.
  DPM_CHECK(patch_ >= 1 && heads >= 1 && channels >= 4 && channels % 4 == 0 && channels % heads == 0 && hidden >= 1, "DPM_INVALID_OPTION",
            "The native settings `patch`, `channels`, `heads` and `hiddenChannels` do not fit together.");
  const Initializer none{}, small{Initializer::Kind::normal, 0.02};
  ParameterList& list = parameters_;
  const std::int64_t in = shape().input_channels + shape().condition_channels;
  patches_ = Patches(list, "patches", in, channels, patch_, xavier(in * patch_ * patch_, channels), none);
  positions_ = grid_positions(shape().height / patch_, shape().width / patch_, channels);
  time_in_ = Linear(list, "time.in", kTimeChannels, channels, small);
  time_out_ = Linear(list, "time.out", channels, channels, small);
  if (shape().classes > 0) class_table_ = list.add("classes.weight", {class_rows(), channels}, small);
  for (std::int64_t i = 0; i < settings.integer("depth"); ++i) {
    const std::string name = "blocks." + std::to_string(i);
    Block block;
    // q, k and v are one matrix for Xavier's fans.
    block.attention = TokenAttention(list, name + ".attention", channels, heads, xavier(channels, 3 * channels), xavier(channels, channels), true);
    block.feed_forward =
        FeedForward(list, name + ".feedForward", channels, hidden, xavier(channels, hidden), xavier(hidden, channels), FeedForward::Gelu::tanh);
    block.modulation = Linear(list, name + ".modulation", channels, 6 * channels, none);
    blocks_.push_back(std::move(block));
  }
  output_modulation_ = Linear(list, "output.modulation", channels, 2 * channels, none);
  output_ = Linear(list, "output.linear", channels, patch_ * patch_ * shape().output_channels, none);
}

at::Tensor Dit::condition(const Pass& pass, const Conditioning& conditioning) const {
  at::Tensor embedding = time_embedding(conditioning.labels, kTimeChannels, "improved");
  embedding = time_out_(pass, at::silu(time_in_(pass, embedding)));
  if (class_table_) embedding = embedding + at::embedding(pass[*class_table_], conditioning.classes);
  return at::silu(embedding);
}

at::Tensor Dit::run(const Block& block, const Pass& pass, const at::Tensor& tokens, const at::Tensor& c) {
  if (pass.cancellation) pass.cancellation->throw_if_requested();
  const auto m = block.modulation(pass, c).chunk(6, 1);  // shift, scale and gate of the attention, then of the feed-forward
  const at::Tensor attended = block.attention(pass, LayerNorm::modulated(tokens, m[0], m[1], kEpsilon));
  const at::Tensor between = at::addcmul(tokens, m[2].unsqueeze(1), attended);
  const at::Tensor fed = block.feed_forward(pass, LayerNorm::modulated(between, m[3], m[4], kEpsilon));
  return at::addcmul(between, m[5].unsqueeze(1), fed);
}

at::Tensor Dit::forward(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const {
  const at::Tensor c = condition(pass, conditioning);
  at::Tensor tokens = patches_(pass, conditioning.image.defined() ? at::cat({x, conditioning.image}, 1) : x);
  tokens = tokens + positions_.to(tokens.device());
  for (const Block& block : blocks_)
    tokens = recompute(pass, tokens, c, [&block](Pass& p, const at::Tensor& h, const at::Tensor& beside) { return run(block, p, h, beside); });
  const auto m = output_modulation_(pass, c).chunk(2, 1);
  tokens = output_(pass, LayerNorm::modulated(tokens, m[0], m[1], kEpsilon));
  return image_of_patches(tokens, patch_, shape().height / patch_, shape().width / patch_);
}

}  // namespace dpm
