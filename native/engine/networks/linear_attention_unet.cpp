#include "networks/linear_attention_unet.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/add.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/sin.h>

#include <cmath>

#include "error.h"
#include "layers/initializers.h"
#include "layers/recompute.h"

namespace dpm {

LinearAttentionUnetSettings::LinearAttentionUnetSettings(const Settings& s)
    : channels(s.integer("channels")),
      input_width(s.integer("inputWidth")),
      memory(s.integer("memory")),
      groups(s.integer("groups")),
      halving_kernel(s.integer("halvingKernel")),
      time_features(s.integer("timeFeatures")),
      widths(s.integers("widths")),
      full_attention(s.integers("fullAttention")),
      heads(s.integers("heads")),
      head_channels(s.integers("headChannels")),
      time_embedding(s.text("timeEmbedding")),
      time_theta(s.number("timeTheta")),
      dropout(s.number("dropout")),
      start{initialization_scheme(s.text("initialization")), Initialization::Last::like_others} {
  // TypeScript has said this in its own words; here it keeps a mistake there from dividing by zero or reading past an end.
  bool fits = channels >= 1 && input_width >= 1 && time_features >= 2 && (halving_kernel == 2 || halving_kernel == 4) && time_theta > 1;
  fits = fits && !widths.empty() && full_attention.size() == widths.size() && heads.size() == widths.size() && head_channels.size() == widths.size();
  for (const std::int64_t width : widths) fits = fits && width >= 1;
  DPM_CHECK(fits, "DPM_INVALID_OPTION", "The native settings of \"linear-attention-unet\" do not fit together.");
}

PostNormBlock::Norm PostNormBlock::norm_of(ParameterList& list, const std::string& name, std::int64_t channels, std::int64_t groups) {
  if (groups == 0) return RmsNorm(list, name, channels);
  return GroupNorm(list, name, channels, groups, 1e-5);
}

PostNormBlock::PostNormBlock(ParameterList& list, const std::string& name, std::int64_t in, std::int64_t out, const LinearAttentionUnetSettings& s)
    : conv1_(list, name + ".conv1", in, out, 3, s.start),
      conv2_(list, name + ".conv2", out, out, 3, s.start),
      norm1_(norm_of(list, name + ".norm1", out, s.groups)),
      norm2_(norm_of(list, name + ".norm2", out, s.groups)),
      time_(list, name + ".time", s.embedding_channels, 2 * out, s.start),
      dropout_(s.dropout) {
  if (in != out) shortcut_.emplace(list, name + ".shortcut", in, out, 1, s.start);
}

at::Tensor PostNormBlock::operator()(Pass& pass, const at::Tensor& x, const at::Tensor& told) const {
  if (pass.cancellation) pass.cancellation->throw_if_requested();
  const auto activated = [&pass](const Norm& norm, const at::Tensor& h, const Modulation& modulation) {
    return std::visit([&](const auto& chosen) { return chosen.silu(pass, h, modulation); }, norm);
  };
  const auto halves = time_(pass, told).chunk(2, 1);
  at::Tensor h = activated(norm1_, conv1_(pass, x), {{}, halves[0], halves[1]});
  h = activated(norm2_, conv2_(pass, dpm::dropout(pass, h, dropout_)), {});
  return h + (shortcut_ ? (*shortcut_)(pass, x) : x);
}

HalvingConvolution::HalvingConvolution(ParameterList& list, const std::string& name, std::int64_t in, std::int64_t out, std::int64_t kernel,
                                       const Initialization& start)
    : kernel_(kernel) {
  const std::int64_t area = kernel * kernel;
  weight_ = list.add(name + ".weight", {out, in, kernel, kernel}, weight_initializer(start, Role::inner, in * area, out * area));
  bias_ = list.add(name + ".bias", {out}, bias_initializer(start, Role::inner, in * area));
}

at::Tensor HalvingConvolution::operator()(const Pass& pass, const at::Tensor& x) const {
  const std::int64_t padding = (kernel_ - 2) / 2;
  return at::conv2d(x, pass[weight_], pass[bias_], {2, 2}, at::IntArrayRef({padding, padding}));
}

LinearAttentionUnet::LinearAttentionUnet(const Settings& settings) : Network(settings), settings_(settings) {
  settings_.embedding_channels = settings_.time_channels() * (shape().classes > 0 ? 2 : 1);
  build_time();
  build_down();
  build_up();
}

void LinearAttentionUnet::build_time() {
  const LinearAttentionUnetSettings& s = settings_;
  ParameterList& list = parameters_;
  const Initializer normal{Initializer::Kind::normal, 1};
  const std::vector<std::int64_t> frequencies{s.time_features / 2};
  if (s.time_embedding == "learned") frequencies_ = list.add("time.frequencies", frequencies, normal);
  if (s.time_embedding == "random") frequencies_ = list.add_statistic("time.frequencies", frequencies, normal);
  time_in_ = Linear(list, "time.in", frequencies_ ? 2 * frequencies[0] + 1 : s.channels, s.time_channels(), s.start);
  time_out_ = Linear(list, "time.out", s.time_channels(), s.time_channels(), s.start);
  if (shape().classes == 0) return;
  class_table_ = list.add("classes.weight", {class_rows(), s.channels}, normal);
  class_in_ = Linear(list, "classes.in", s.channels, s.time_channels(), s.start);
  class_out_ = Linear(list, "classes.out", s.time_channels(), s.time_channels(), s.start);
}

void LinearAttentionUnet::build_down() {
  const LinearAttentionUnetSettings& s = settings_;
  ParameterList& list = parameters_;
  input_ = Convolution(list, "input", shape().input_channels + shape().condition_channels, s.input_width, 7, s.start);
  std::int64_t width = s.input_width;
  for (std::size_t l = 0; l < s.widths.size(); ++l) {
    const std::string name = "down." + std::to_string(l);
    Level level;
    level.block1 = PostNormBlock(list, name + ".blocks.0", width, width, s);
    level.block2 = PostNormBlock(list, name + ".blocks.1", width, width, s);
    level.attention = MemoryAttention(list, name + ".attention", s.attention(l, width, s.full_attention[l] != 0), s.start);
    if (l + 1 < s.widths.size()) {
      level.halve.emplace(list, name + ".resample", width, s.widths[l], s.halving_kernel, s.start);
    } else {
      level.convolution = Convolution(list, name + ".resample", width, s.widths[l], 3, s.start);
    }
    width = s.widths[l];
    down_.push_back(std::move(level));
  }
  middle1_ = PostNormBlock(list, "middle.block1", width, width, s);
  middle_attention_ = MemoryAttention(list, "middle.attention", s.attention(s.widths.size() - 1, width, true), s.start);
  middle2_ = PostNormBlock(list, "middle.block2", width, width, s);
}

void LinearAttentionUnet::build_up() {
  const LinearAttentionUnetSettings& s = settings_;
  ParameterList& list = parameters_;
  up_.resize(s.widths.size());
  for (std::size_t l = s.widths.size(); l-- > 0;) {
    const std::string name = "up." + std::to_string(l);
    const std::int64_t width = s.widths[l], above = l > 0 ? s.widths[l - 1] : s.input_width;
    Level& level = up_[l];
    level.block1 = PostNormBlock(list, name + ".blocks.0", width + above, width, s);
    level.block2 = PostNormBlock(list, name + ".blocks.1", width + above, width, s);
    level.attention = MemoryAttention(list, name + ".attention", s.attention(l, width, s.full_attention[l] != 0), s.start);
    level.convolution = Convolution(list, name + ".resample", width, above, 3, s.start);
  }
  output_block_ = PostNormBlock(list, "output.block", 2 * s.input_width, s.input_width, s);
  output_ = Convolution(list, "output.conv", s.input_width, shape().output_channels, 1, s.start);
}

at::Tensor LinearAttentionUnet::time_features(const Pass& pass, const at::Tensor& labels) const {
  if (!frequencies_) {
    // theta^(-i / (half - 1)), as a power of the sinusoids' own base.
    const auto half = static_cast<double>(settings_.channels / 2);
    return sinusoids(labels, settings_.channels, half - (half - 1) * std::log(1e4) / std::log(settings_.time_theta), false);
  }
  const at::Tensor time = labels.to(at::kDouble).unsqueeze(1);
  const at::Tensor angles = time * (pass[*frequencies_].to(at::kDouble) * (2 * M_PI)).unsqueeze(0);
  return at::cat({time, at::sin(angles), at::cos(angles)}, 1).to(at::kFloat);
}

at::Tensor LinearAttentionUnet::condition(const Pass& pass, const Conditioning& conditioning) const {
  const at::Tensor time = time_out_(pass, at::gelu(time_in_(pass, time_features(pass, conditioning.labels))));
  if (!class_table_) return at::silu(time);
  const at::Tensor row = at::embedding(pass[*class_table_], conditioning.classes);
  return at::silu(at::cat({time, class_out_(pass, at::gelu(class_in_(pass, row)))}, 1));
}

at::Tensor LinearAttentionUnet::forward(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const {
  const at::Tensor told = condition(pass, conditioning);
  // Parts of the network: by address they are there on the way back too.
  const auto run = [&](const PostNormBlock& block, const MemoryAttention* attention, const at::Tensor& given) {
    return recompute(pass, given, told, [&block, attention](Pass& inner, const at::Tensor& h, const at::Tensor& beside) {
      const at::Tensor y = block(inner, h, beside);
      return attention ? (*attention)(inner, y) : y;
    });
  };
  const at::Tensor first = input_(pass, conditioning.image.defined() ? at::cat({x, conditioning.image}, 1) : x);
  std::vector<at::Tensor> skips;
  at::Tensor h = first;
  for (const Level& level : down_) {
    h = run(level.block1, nullptr, h);
    skips.push_back(h);
    h = run(level.block2, &level.attention, h);
    skips.push_back(h);
    h = level.halve ? (*level.halve)(pass, h) : level.convolution(pass, h);
  }
  h = run(middle1_, &middle_attention_, h);
  h = run(middle2_, nullptr, h);
  for (std::size_t l = up_.size(); l-- > 0;) {
    const Level& level = up_[l];
    h = run(level.block1, nullptr, at::cat({h, skips.back()}, 1));
    skips.pop_back();
    h = run(level.block2, &level.attention, at::cat({h, skips.back()}, 1));
    skips.pop_back();
    h = level.convolution(pass, l > 0 ? double_size(h) : h);
  }
  return output_(pass, run(output_block_, nullptr, at::cat({h, first}, 1)));
}

}  // namespace dpm
