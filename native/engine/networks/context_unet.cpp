#include "networks/context_unet.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/mean.h>

#include <string>

#include "error.h"
#include "layers/initializers.h"

namespace dpm {
namespace {

constexpr int kLevels = 2;
constexpr double kEpsilon = 1e-5;

// A 1 where the class is, and nothing for the null class, which is the last.
at::Tensor context_of(const at::Tensor& classes, std::int64_t count) {
  return classes.unsqueeze(1).eq(at::arange(count, classes.options())).to(at::kFloat);
}

}  // namespace

ContextBlock::ContextBlock(ParameterList& list, const std::string& name, std::int64_t in, std::int64_t out, const Initialization& start)
    : conv1_(list, name + ".conv1", in, out, 3, start),
      conv2_(list, name + ".conv2", out, out, 3, start),
      norm1_(list, name + ".norm1", out),
      norm2_(list, name + ".norm2", out) {}

at::Tensor ContextBlock::operator()(const Pass& pass, const at::Tensor& x) const {
  const at::Tensor h = at::gelu(norm1_(pass, conv1_(pass, x)));
  return at::gelu(norm2_(pass, conv2_(pass, h)));
}

ContextEmbedding::ContextEmbedding(ParameterList& list, const std::string& name, std::int64_t in, std::int64_t out, const Initialization& start)
    : in_(list, name + ".in", in, out, start), out_(list, name + ".out", out, out, start) {}

at::Tensor ContextEmbedding::operator()(const Pass& pass, const at::Tensor& x) const {
  return out_(pass, at::gelu(in_(pass, x))).unsqueeze(-1).unsqueeze(-1);
}

ContextUnet::ContextUnet(const Settings& settings) : Network(settings), height_(shape().height >> kLevels), width_(shape().width >> kLevels) {
  const std::int64_t channels = settings.integer("channels"), seen = shape().input_channels + shape().condition_channels;
  // TypeScript has said this in its own words.
  DPM_CHECK(channels >= 1 && channels % 8 == 0 && height_ >= 1 && width_ >= 1, "DPM_INVALID_OPTION",
            "Expected channels in eights and an image of at least 4×4.");
  ParameterList& list = parameters_;
  const Initialization start{initialization_scheme(settings.text("initialization"))};
  input_ = ContextBlock(list, "input", seen, channels, start);
  if (seen != channels) {
    const std::vector<std::int64_t> weight{channels, seen, 1, 1}, bias{channels};
    const Initializer of_weight = weight_initializer(start, Role::inner, seen, channels), of_bias = bias_initializer(start, Role::inner, seen);
    const bool trained = !settings.flag("courseCompat");
    shortcut_weight_ =
        trained ? list.add("input.shortcut.weight", weight, of_weight) : list.add_statistic("input.shortcut.weight", weight, of_weight);
    shortcut_bias_ = trained ? list.add("input.shortcut.bias", bias, of_bias) : list.add_statistic("input.shortcut.bias", bias, of_bias);
  }
  const std::int64_t widths[kLevels] = {channels, 2 * channels};
  for (int l = 0; l < kLevels; ++l) {
    const std::string level = std::to_string(l);
    const std::int64_t width = widths[l], above = widths[l > 0 ? l - 1 : 0];
    Level made;
    for (int i = 0; i < 2; ++i) {
      const std::string block = level + ".blocks." + std::to_string(i);
      made.down.emplace_back(list, "down." + block, i == 0 ? above : width, width, start);
      made.up.emplace_back(list, "up." + block, above, above, start);
    }
    made.enlarge = PatchConvolution(list, "up." + level + ".enlarge", 2 * width, above, 2, 2, start);
    made.time = ContextEmbedding(list, "time." + level, 1, width, start);
    if (shape().classes > 0) made.context.emplace(list, "context." + level, shape().classes, width, start);
    levels_.push_back(std::move(made));
  }
  start_ = PatchConvolution(list, "up.start.conv", 2 * channels, 2 * channels, height_, width_, start);
  start_norm_ = GroupNorm(list, "up.start.norm", 2 * channels, 8, kEpsilon);
  output_in_ = Convolution(list, "output.conv1", 2 * channels, channels, 3, start);
  output_norm_ = GroupNorm(list, "output.norm", channels, 8, kEpsilon);
  output_out_ = Convolution(list, "output.conv2", channels, shape().output_channels, 3, start);
}

at::Tensor ContextUnet::straight(const Pass& pass, const at::Tensor& x) const {
  return shortcut_weight_ ? at::conv2d(x, pass[*shortcut_weight_], pass[*shortcut_bias_]) : x;
}

at::Tensor ContextUnet::forward(Pass& pass, const at::Tensor& given, const Conditioning& conditioning) const {
  const auto may_stop = [&] {
    if (pass.cancellation) pass.cancellation->throw_if_requested();
  };
  const at::Tensor x = conditioning.image.defined() ? at::cat({given, conditioning.image}, 1) : given;
  const at::Tensor time = conditioning.labels.unsqueeze(1);
  const at::Tensor context = shape().classes > 0 ? context_of(conditioning.classes, shape().classes) : at::Tensor();

  const at::Tensor first = (straight(pass, x) + input_(pass, x)) / 1.414;
  std::vector<at::Tensor> skips;
  at::Tensor h = first;
  for (const Level& level : levels_) {
    may_stop();
    for (const ContextBlock& block : level.down) h = block(pass, h);
    h = at::max_pool2d(h, {2, 2}, {2, 2});
    skips.push_back(h);
  }
  may_stop();
  h = start_norm_.activated(pass, start_(pass, at::gelu(h.mean({2, 3}, true))), Activation::relu);
  for (std::size_t l = levels_.size(); l-- > 0;) {
    may_stop();
    const Level& level = levels_[l];
    if (level.context) h = (*level.context)(pass, context) * h;
    h = level.enlarge(pass, at::cat({h + level.time(pass, time), skips[l]}, 1));
    for (const ContextBlock& block : level.up) h = block(pass, h);
  }
  may_stop();
  return output_out_(pass, output_norm_.activated(pass, output_in_(pass, at::cat({h, first}, 1)), Activation::relu));
}

}  // namespace dpm
