#include "networks/song_unet.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/add.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/one_hot.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/sin.h>

#include <algorithm>
#include <cmath>

#include "error.h"
#include "layers/initializers.h"
#include "layers/resampling.h"

namespace dpm {

SongSettings::SongSettings(const Settings& s)
    : channels(s.integer("channels")),
      time_width(s.integer("timeWidth")),
      blocks(s.integer("blocks")),
      head_channels(s.integer("headChannels")),
      augment_labels(s.integer("augmentLabels")),
      groups(s.integer("groups")),
      minimum_group_channels(s.integer("minimumGroupChannels")),
      widths(s.integers("widths")),
      attention_resolutions(s.integers("attentionResolutions")),
      fourier(s.text("timeEmbedding") == "fourier"),
      fir(s.text("resampling") == "fir"),
      concatenates(s.text("encoderJoin") == "concatenation"),
      decoder_skip(s.text("decoder") == "skip"),
      scale_shift(s.flag("scaleShift")),
      encoder(s.text("encoder")),
      fourier_scale(s.number("fourierScale")),
      skip_scale(s.number("skipScale")),
      group_epsilon(s.number("groupEpsilon")),
      dropout(s.number("dropout")) {
  const auto positive = [](std::int64_t value, const char* name) {
    DPM_CHECK(value >= 1, "DPM_INVALID_OPTION", "Expected at least 1 for the native setting `" + std::string(name) + "`.");
  };
  positive(channels, "channels");
  positive(time_width, "timeWidth");
  positive(blocks, "blocks");
  positive(groups, "groups");
  positive(minimum_group_channels, "minimumGroupChannels");
  positive(static_cast<std::int64_t>(widths.size()), "widths");
  for (const std::int64_t width : widths) positive(width, "widths");
  const std::string& last = s.text("zeroLayers");
  start.last = last == "zero" ? Initialization::Last::zero : last == "tiny" ? Initialization::Last::tiny : Initialization::Last::like_others;
  start.attention = 0.1;
}

std::int64_t SongSettings::groups_of(std::int64_t width) const { return std::max<std::int64_t>(1, std::min(groups, width / minimum_group_channels)); }

bool SongSettings::attends(std::int64_t resolution) const {
  return std::find(attention_resolutions.begin(), attention_resolutions.end(), resolution) != attention_resolutions.end();
}

AttentionSettings SongSettings::attention(std::int64_t width) const {
  return {width, head_channels > 0 ? width / head_channels : 1, false, groups_of(width), group_epsilon, skip_scale};
}

ResidualSettings SongSettings::block(std::int64_t in, std::int64_t out) const {
  ResidualSettings block{in, out, out, groups_of(in), groups_of(out), time_channels()};
  block.modulation = scale_shift ? ResidualSettings::Modulation::scale_shift : ResidualSettings::Modulation::shift;
  block.shortcut = in == out ? ResidualSettings::Shortcut::none : ResidualSettings::Shortcut::biased;
  block.epsilon = group_epsilon;
  block.dropout = dropout;
  block.scale = skip_scale;
  return block;
}

ResidualSettings SongSettings::resizing(std::int64_t width, bool halves) const {
  using Resize = ResidualSettings::Resize;
  ResidualSettings result = block(width, width);
  result.shortcut = ResidualSettings::Shortcut::biased;
  result.resize = halves ? (fir ? Resize::smooth_halve : Resize::halve) : (fir ? Resize::smooth_twice : Resize::twice);
  return result;
}

SongUnet::SongUnet(const Settings& settings) : Network(settings), settings_(settings) {
  const SongSettings& s = settings_;
  ParameterList& list = parameters_;
  if (s.fourier) frequencies_ = list.add_statistic("time.frequencies", {s.time_width / 2}, {Initializer::Kind::normal, s.fourier_scale});
  if (shape().classes > 0) classes_.emplace(list, "classes", shape().classes, s.time_width, s.start);
  // The label is always 0, so that the weights are only kept.
  if (s.augment_labels > 0) {
    list.add("augment.weight", {s.time_width, s.augment_labels}, weight_initializer(s.start, Role::inner, s.augment_labels, s.time_width));
  }
  time_in_ = Linear(list, "time.in", s.time_width, s.time_channels(), s.start);
  time_out_ = Linear(list, "time.out", s.time_channels(), s.time_channels(), s.start);
  std::vector<std::int64_t> skips;
  std::int64_t resolution = shape().height;
  build_down(skips, resolution);
  build_up(std::move(skips), resolution);
}

void SongUnet::build_down(std::vector<std::int64_t>& skips, std::int64_t& resolution) {
  const SongSettings& s = settings_;
  ParameterList& list = parameters_;
  std::int64_t pyramid = shape().input_channels + shape().condition_channels;
  input_ = Convolution(list, "input", pyramid, s.channels, 3, s.start);
  skips.push_back(s.channels);
  std::int64_t width = s.channels;
  for (std::size_t l = 0; l < s.widths.size(); ++l) {
    const std::string name = "down." + std::to_string(l);
    Level level;
    for (std::int64_t i = 0; i < s.blocks; ++i) {
      level.blocks.push_back({{list, name + ".blocks." + std::to_string(i), s.block(width, s.widths[l]), s.start}, {}});
      width = s.widths[l];
      if (s.attends(resolution)) {
        level.blocks.back().attention.emplace(list, name + ".attentions." + std::to_string(i), s.attention(width), s.start);
      }
      skips.push_back(width);
    }
    if (l + 1 < s.widths.size()) {
      level.resample.emplace(AttendedBlock{{list, name + ".resample", s.resizing(width, true), s.start}, {}});
      if (s.encoder != "standard") {
        level.pyramid.emplace(list, name + ".pyramid", pyramid, width, s.encoder == "skip" ? 1 : 3, s.start);
        if (s.encoder == "residual") pyramid = width;
        if (s.encoder == "skip" && s.concatenates) width *= 2;
      }
      skips.push_back(width);
      resolution /= 2;
    }
    down_.push_back(std::move(level));
  }
  middle_.push_back({{list, "middle.block1", s.block(width, width), s.start}, {}});
  middle_[0].attention.emplace(list, "middle.attention", s.attention(width), s.start);
  middle_.push_back({{list, "middle.block2", s.block(width, width), s.start}, {}});
}

void SongUnet::build_up(std::vector<std::int64_t> skips, std::int64_t resolution) {
  const SongSettings& s = settings_;
  ParameterList& list = parameters_;
  std::int64_t width = s.widths.back();
  up_.resize(s.widths.size());
  for (std::size_t l = s.widths.size(); l-- > 0;) {
    const std::string name = "up." + std::to_string(l);
    Level level;
    for (std::int64_t i = 0; i <= s.blocks; ++i) {
      level.blocks.push_back({{list, name + ".blocks." + std::to_string(i), s.block(width + skips.back(), s.widths[l]), s.start}, {}});
      skips.pop_back();
      width = s.widths[l];
    }
    if (s.attends(resolution)) {
      level.blocks.back().attention.emplace(list, name + ".attentions." + std::to_string(s.blocks), s.attention(width), s.start);
    }
    if (s.decoder_skip) level.output = output_of(name + ".output", width);
    if (l > 0) {
      level.resample.emplace(AttendedBlock{{list, name + ".resample", s.resizing(width, false), s.start}, {}});
      resolution *= 2;
    }
    up_[l] = std::move(level);
  }
  if (!s.decoder_skip) output_ = output_of("output", width);
}

SongUnet::Output SongUnet::output_of(const std::string& name, std::int64_t width) {
  const SongSettings& s = settings_;
  Output output;
  output.norm = GroupNorm(parameters_, name + ".norm", width, s.groups_of(width), s.group_epsilon);
  output.convolution = Convolution(parameters_, name + ".conv", width, shape().output_channels, 3, s.start, Role::last);
  return output;
}

Embedding SongUnet::condition(const Pass& pass, const Conditioning& conditioning) const {
  at::Tensor embedding;
  if (frequencies_) {
    const at::Tensor angles = conditioning.labels.to(at::kDouble).unsqueeze(1) * (pass[*frequencies_].to(at::kDouble) * (2 * M_PI)).unsqueeze(0);
    embedding = at::cat({at::sin(angles), at::cos(angles)}, 1).to(at::kFloat);
  } else {
    embedding = time_embedding(conditioning.labels, settings_.time_width, "ddpm");
  }
  if (classes_) {
    const std::int64_t count = shape().classes;
    // The null class is a row of zeros. Each label has a power of 1 with this factor.
    const at::Tensor rows = at::one_hot(conditioning.classes, count + 1).narrow(1, 0, count).to(at::kFloat);
    embedding = embedding + (*classes_)(pass, rows * std::sqrt(static_cast<double>(count)));
  }
  embedding = time_out_(pass, at::silu(time_in_(pass, embedding)));
  return {embedding, at::silu(embedding)};
}

at::Tensor SongUnet::half(const at::Tensor& x) const { return settings_.fir ? smooth_half_size(x, Border::zeros) : half_size(x); }

at::Tensor SongUnet::twice(const at::Tensor& x) const { return settings_.fir ? smooth_double_size(x, Border::zeros) : double_size(x); }

at::Tensor SongUnet::forward(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const {
  const SongSettings& s = settings_;
  const Embedding time = condition(pass, conditioning);
  at::Tensor pyramid = conditioning.image.defined() ? at::cat({x, conditioning.image}, 1) : x;
  at::Tensor h = input_(pass, pyramid);
  std::vector<at::Tensor> skips{h};
  for (const Level& level : down_) {
    for (const AttendedBlock& block : level.blocks) {
      h = block(pass, h, time);
      skips.push_back(h);
    }
    if (!level.resample) break;
    h = (*level.resample)(pass, h, time);
    if (s.encoder == "skip") {
      pyramid = half(pyramid);
      const at::Tensor seen = (*level.pyramid)(pass, pyramid);
      h = s.concatenates ? at::cat({seen, h}, 1) : seen + h;
    } else if (s.encoder == "residual") {
      pyramid = (level.pyramid->halve_inside(pass, before_halving(pyramid, s.fir)) + h) * s.skip_scale;
      h = pyramid;
    }
    skips.push_back(h);
  }
  for (const AttendedBlock& block : middle_) h = block(pass, h, time);

  at::Tensor gathered;
  for (std::size_t l = up_.size(); l-- > 0;) {
    const Level& level = up_[l];
    for (const AttendedBlock& block : level.blocks) {
      h = block(pass, at::cat({h, skips.back()}, 1), time);
      skips.pop_back();
    }
    if (level.output) {
      const at::Tensor share = level.output->convolution(pass, level.output->norm.silu(pass, h));
      gathered = gathered.defined() ? twice(gathered) + share : share;
    }
    if (level.resample) h = (*level.resample)(pass, h, time);
  }
  return output_ ? output_->convolution(pass, output_->norm.silu(pass, h)) : gathered;
}

}  // namespace dpm
