#include "networks/unet_encoder.h"

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
#include <utility>

#include "error.h"

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
      input_width(s.integer("inputWidth")),
      blocks(s.integer("blocks")),
      heads(s.integer("heads")),
      head_channels(s.integer("headChannels")),
      augment_labels(s.integer("augmentLabels")),
      widths(s.integers("widths")),
      attention_resolutions(s.integers("attentionResolutions")),
      fourier_features(s.integers("fourierFeatures")),
      middle_attention(s.flag("middleAttention")),
      last_decoder_attention(s.text("decoderAttention") == "last"),
      interleaved(s.text("headLayout") == "interleaved"),
      asymmetric(s.text("downsamplePadding") == "asymmetric"),
      zero_null_class(s.text("nullClassEmbedding") == "zero"),
      resampling(s.text("resampling")),
      time_embedding(s.text("timeEmbedding")),
      scale_shift(s.flag("scaleShift")),
      skip_scale(s.number("skipScale")),
      group_epsilon(s.number("groupEpsilon")),
      dropout(s.number("dropout")),
      groups(s.integer("groups")),
      minimum_group_channels(s.integer("minimumGroupChannels")),
      start(initialization_of(s)) {
  // TypeScript has said this in its own words; here it keeps a mistake there from dividing by zero.
  const auto positive = [](std::int64_t value, const char* name) {
    DPM_CHECK(value >= 1, "DPM_INVALID_OPTION", "Expected at least 1 for the native setting `" + std::string(name) + "`.");
  };
  positive(channels, "channels");
  positive(input_width, "inputWidth");
  positive(blocks, "blocks");
  positive(heads, "heads");
  positive(groups, "groups");
  positive(minimum_group_channels, "minimumGroupChannels");
  positive(static_cast<std::int64_t>(widths.size()), "widths");
  for (const std::int64_t width : widths) positive(width, "widths");
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

TimeAndClass::TimeAndClass(ParameterList& list, const UnetSettings& s, std::int64_t classes, bool null_class)
    : channels_(s.channels), kind_(s.time_embedding), zero_null_class_(s.zero_null_class) {
  in_ = Linear(list, "time.in", s.channels, s.time_channels(), s.start);
  out_ = Linear(list, "time.out", s.time_channels(), s.time_channels(), s.start);
  // The label is always 0, so that the weights are only kept.
  if (s.augment_labels > 0) list.add("augment.weight", {s.channels, s.augment_labels}, {});
  if (classes == 0) return;
  rows_ = classes + (null_class && !zero_null_class_ ? 1 : 0);
  class_table_ = list.add("classes.weight", {rows_, s.time_channels()}, {Initializer::Kind::normal, 1});
}

Embedding TimeAndClass::operator()(const Pass& pass, const Conditioning& conditioning) const {
  at::Tensor embedding = time_embedding(conditioning.labels, channels_, kind_);
  embedding = out_(pass, at::silu(in_(pass, embedding)));
  if (class_table_) {
    const at::Tensor& classes = conditioning.classes;
    at::Tensor row = at::embedding(pass[*class_table_], classes.clamp_max(rows_ - 1));
    if (zero_null_class_) row = row * classes.lt(rows_).unsqueeze(1);
    embedding = embedding + row;
  }
  return {embedding, at::silu(embedding)};
}

UnetEncoder::UnetEncoder(ParameterList& list, const UnetSettings& s, const DataShape& shape)
    : asymmetric_(s.asymmetric), fourier_features_(s.fourier_features), time_(list, s, shape.classes, shape.null_class), resolution_(shape.height) {
  input_ = Convolution(list, "input", s.input_channels(shape.input_channels) + shape.condition_channels, s.input_width, 3, s.start);
  skip_widths_.push_back(s.input_width);
  std::int64_t width = s.input_width;
  for (std::size_t l = 0; l < s.widths.size(); ++l) {
    const std::string name = "down." + std::to_string(l);
    UnetLevel level;
    for (std::int64_t i = 0; i < s.blocks; ++i) {
      level.blocks.push_back({{list, name + ".blocks." + std::to_string(i), s.block(width, s.widths[l]), s.start}, {}});
      width = s.widths[l];
      if (s.attends(resolution_)) {
        level.blocks.back().attention.emplace(list, name + ".attentions." + std::to_string(i), s.attention(width), s.start);
      }
      skip_widths_.push_back(width);
    }
    if (l + 1 < s.widths.size()) {
      if (s.resampling == "convolution") level.resample = Convolution(list, name + ".resample", width, width, 3, s.start);
      if (s.resampling == "residual")
        level.resample_block.emplace(list, name + ".resample", s.block(width, width, ResidualSettings::Resize::halve), s.start);
      skip_widths_.push_back(width);
      resolution_ /= 2;
    }
    levels_.push_back(std::move(level));
  }
  middle_.push_back({{list, "middle.block1", s.block(width, width), s.start}, {}});
  if (s.middle_attention) middle_[0].attention.emplace(list, "middle.attention", s.attention(width), s.start);
  middle_.push_back({{list, "middle.block2", s.block(width, width), s.start}, {}});
}

at::Tensor UnetEncoder::input(const at::Tensor& x, const Conditioning& conditioning) const {
  std::vector<at::Tensor> parts{x};
  for (const auto wave : {&at::sin, &at::cos}) {
    for (const std::int64_t n : fourier_features_) parts.push_back(wave(x * (2 * M_PI * std::exp2(n))));
  }
  if (conditioning.image.defined()) parts.push_back(conditioning.image);
  return parts.size() == 1 ? x : at::cat(parts, 1);
}

UnetEncoder::Encoding UnetEncoder::operator()(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const {
  const Embedding time = time_(pass, conditioning);
  at::Tensor h = input_(pass, input(x, conditioning));
  std::vector<at::Tensor> skips{h};
  for (const UnetLevel& level : levels_) {
    for (const AttendedBlock& block : level.blocks) {
      h = block(pass, h, time);
      skips.push_back(h);
    }
    if (&level == &levels_.back()) break;
    if (level.resample_block) {
      h = (*level.resample_block)(pass, h, time);
    } else {
      h = level.resample ? level.resample->halve(pass, h, asymmetric_) : half_size(h);
    }
    skips.push_back(h);
  }
  for (const AttendedBlock& block : middle_) h = block(pass, h, time);
  return {time, h, std::move(skips)};
}

}  // namespace dpm
