#include "networks/unet.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/add.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/sin.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "error.h"
#include "layers/recompute.h"

namespace dpm {
namespace {

Initialization initialization_of(const Settings& settings) {
  const std::string& last = settings.text("zeroLayers");
  return {initialization_scheme(settings.text("initialization")), last == "zero"   ? Initialization::Last::zero
                                                                  : last == "tiny" ? Initialization::Last::tiny
                                                                                   : Initialization::Last::like_others};
}

}  // namespace

UnetSettings::UnetSettings(const Settings& s)
    : channels(s.integer("channels")),
      blocks(s.integer("blocks")),
      heads(s.integer("heads")),
      head_channels(s.integer("headChannels")),
      groups(s.integer("groups")),
      minimum_group_channels(s.integer("minimumGroupChannels")),
      multipliers(s.integers("multipliers")),
      attention_resolutions(s.integers("attentionResolutions")),
      fourier_features(s.integers("fourierFeatures")),
      middle_attention(s.flag("middleAttention")),
      interleaved(s.text("headLayout") == "interleaved"),
      asymmetric(s.text("downsamplePadding") == "asymmetric"),
      scale_shift(s.flag("scaleShift")),
      resampling(s.text("resampling")),
      time_embedding(s.text("timeEmbedding")),
      skip_scale(s.number("skipScale")),
      group_epsilon(s.number("groupEpsilon")),
      dropout(s.number("dropout")),
      start(initialization_of(s)) {
  // TypeScript has said this in its own words; here it keeps a mistake there from dividing by zero.
  const auto positive = [](std::int64_t value, const char* name) {
    DPM_CHECK(value >= 1, "DPM_INVALID_OPTION", "Expected at least 1 for the native setting `" + std::string(name) + "`.");
  };
  positive(channels, "channels");
  positive(blocks, "blocks");
  positive(heads, "heads");
  positive(groups, "groups");
  positive(minimum_group_channels, "minimumGroupChannels");
  positive(static_cast<std::int64_t>(multipliers.size()), "multipliers");
  for (const std::int64_t multiplier : multipliers) {
    positive(multiplier, "multipliers");
  }
}

std::int64_t UnetSettings::groups_of(std::int64_t width) const { return std::max<std::int64_t>(1, std::min(groups, width / minimum_group_channels)); }

bool UnetSettings::attends(std::int64_t resolution) const {
  return std::find(attention_resolutions.begin(), attention_resolutions.end(), resolution) != attention_resolutions.end();
}

AttentionSettings UnetSettings::attention(std::int64_t width) const {
  return {width, head_channels > 0 ? width / head_channels : heads, interleaved, groups_of(width), group_epsilon, skip_scale};
}

ResidualSettings UnetSettings::block(std::int64_t in, std::int64_t out, ResidualSettings::Resize resize) const {
  ResidualSettings block{in, out, out, groups_of(in), groups_of(out), time_channels()};
  block.modulation = scale_shift ? ResidualSettings::Modulation::scale_shift : ResidualSettings::Modulation::shift;
  block.shortcut = in == out ? ResidualSettings::Shortcut::none : ResidualSettings::Shortcut::biased;
  block.resize = resize;
  block.epsilon = group_epsilon;
  block.dropout = dropout;
  block.scale = skip_scale;
  return block;
}

Unet::Unet(const Settings& settings) : Network(settings), settings_(settings) {
  const UnetSettings& s = settings_;
  ParameterList& list = parameters_;
  const std::size_t levels = s.multipliers.size();
  time_in_ = Linear(list, "time.in", s.channels, s.time_channels(), s.start);
  time_out_ = Linear(list, "time.out", s.time_channels(), s.time_channels(), s.start);
  if (shape().classes > 0) {
    class_table_ = list.add("classes.weight", {class_rows(), s.time_channels()}, {Initializer::Kind::normal, 1});
  }
  input_ = Convolution(list, "input", s.input_channels(shape().input_channels) + shape().condition_channels, s.channels, 3, s.start);

  std::vector<std::int64_t> skips{s.channels};
  std::int64_t width = s.channels;
  std::int64_t resolution = shape().height;
  for (std::size_t l = 0; l < levels; ++l) {
    const std::string name = "down." + std::to_string(l);
    const std::int64_t out = s.multipliers[l] * s.channels;
    Level level;
    for (std::int64_t i = 0; i < s.blocks; ++i) {
      level.blocks.emplace_back(list, name + ".blocks." + std::to_string(i), s.block(width, out), s.start);
      width = out;
      level.attentions.emplace_back();
      if (s.attends(resolution)) level.attentions.back().emplace(list, name + ".attentions." + std::to_string(i), s.attention(width), s.start);
      skips.push_back(width);
    }
    if (l + 1 < levels) {
      if (s.resampling == "convolution") level.resample = Convolution(list, name + ".resample", width, width, 3, s.start);
      if (s.resampling == "residual")
        level.resample_block.emplace(list, name + ".resample", s.block(width, width, ResidualSettings::Resize::halve), s.start);
      skips.push_back(width);
      resolution /= 2;
    }
    down_.push_back(std::move(level));
  }

  middle_.emplace_back(list, "middle.block1", s.block(width, width), s.start);
  if (s.middle_attention) middle_attention_.emplace(list, "middle.attention", s.attention(width), s.start);
  middle_.emplace_back(list, "middle.block2", s.block(width, width), s.start);

  up_.resize(levels);
  for (std::size_t l = levels; l-- > 0;) {
    const std::string name = "up." + std::to_string(l);
    const std::int64_t out = s.multipliers[l] * s.channels;
    Level level;
    for (std::int64_t i = 0; i <= s.blocks; ++i) {
      level.blocks.emplace_back(list, name + ".blocks." + std::to_string(i), s.block(width + skips.back(), out), s.start);
      skips.pop_back();
      width = out;
      level.attentions.emplace_back();
      if (s.attends(resolution)) level.attentions.back().emplace(list, name + ".attentions." + std::to_string(i), s.attention(width), s.start);
    }
    if (l > 0) {
      if (s.resampling == "convolution") level.resample = Convolution(list, name + ".resample", width, width, 3, s.start);
      if (s.resampling == "residual")
        level.resample_block.emplace(list, name + ".resample", s.block(width, width, ResidualSettings::Resize::twice), s.start);
      resolution *= 2;
    }
    up_[l] = std::move(level);
  }
  output_norm_ = GroupNorm(list, "output.norm", width, s.groups_of(width), s.group_epsilon);
  output_ = Convolution(list, "output.conv", width, shape().output_channels, 3, s.start, Role::last);
}

Embedding Unet::condition(const Pass& pass, const Conditioning& conditioning) const {
  at::Tensor embedding = dpm::time_embedding(conditioning.labels, settings_.channels, settings_.time_embedding);
  embedding = time_out_(pass, at::silu(time_in_(pass, embedding)));
  if (class_table_) embedding = embedding + at::embedding(pass[*class_table_], conditioning.classes);
  return {embedding, at::silu(embedding)};
}

at::Tensor Unet::input(const at::Tensor& x, const Conditioning& conditioning) const {
  std::vector<at::Tensor> parts{x};
  for (const auto wave : {&at::sin, &at::cos}) {
    for (const std::int64_t n : settings_.fourier_features) parts.push_back(wave(x * (2 * M_PI * std::exp2(n))));
  }
  if (conditioning.image.defined()) parts.push_back(conditioning.image);
  return parts.size() == 1 ? x : at::cat(parts, 1);
}

at::Tensor Unet::run_block(Pass& pass, const ResidualBlock& block, const std::optional<Attention>& attention, const at::Tensor& x,
                           const Embedding& time) {
  // Block and attention are parts of this network: by address they are there on the way back too.
  const Attention* const attends = attention ? &*attention : nullptr;
  const auto run = [&block, attends](Pass& inner, const at::Tensor& h, const Embedding& told) {
    const at::Tensor y = block(inner, h, told);
    return attends ? (*attends)(inner, y) : y;
  };
  if (!pass.activation_checkpointing) return run(pass, x, time);
  return recompute(pass, x, time.plain, [run](Pass& inner, const at::Tensor& h, const at::Tensor& plain) {
    return run(inner, h, {plain, at::silu(plain)});
  });
}

at::Tensor Unet::forward(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const {
  const Embedding time = condition(pass, conditioning);
  at::Tensor h = input_(pass, input(x, conditioning));
  std::vector<at::Tensor> skips{h};
  for (const Level& level : down_) {
    for (std::size_t i = 0; i < level.blocks.size(); ++i) {
      h = run_block(pass, level.blocks[i], level.attentions[i], h, time);
      skips.push_back(h);
    }
    if (&level == &down_.back()) break;
    if (level.resample_block) {
      h = (*level.resample_block)(pass, h, time);
    } else {
      h = level.resample ? level.resample->halve(pass, h, settings_.asymmetric) : half_size(h);
    }
    skips.push_back(h);
  }

  h = run_block(pass, middle_[0], middle_attention_, h, time);
  h = run_block(pass, middle_[1], std::nullopt, h, time);

  for (std::size_t l = up_.size(); l-- > 0;) {
    const Level& level = up_[l];
    for (std::size_t i = 0; i < level.blocks.size(); ++i) {
      h = run_block(pass, level.blocks[i], level.attentions[i], at::cat({h, skips.back()}, 1), time);
      skips.pop_back();
    }
    if (l == 0) break;
    if (level.resample_block) {
      h = (*level.resample_block)(pass, h, time);
    } else {
      h = double_size(h);
      if (level.resample) h = (*level.resample)(pass, h);
    }
  }
  return output_(pass, output_norm_.silu(pass, h));
}

}  // namespace dpm
