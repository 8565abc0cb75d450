#include "networks/edm2_unet.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/embedding.h>

#include <algorithm>
#include <string>

#include "error.h"
#include "layers/layers.h"
#include "layers/recompute.h"

namespace dpm {

Edm2Settings::Edm2Settings(const Settings& s)
    : blocks(s.integer("blocks")),
      head_channels(s.integer("headChannels")),
      noise_channels(s.integer("noiseChannels")),
      embedding_channels(s.integer("embeddingChannels")),
      widths(s.integers("widths")),
      attention_resolutions(s.integers("attentionResolutions")),
      label_balance(s.number("labelBalance")),
      concat_balance(s.number("concatBalance")),
      residual_balance(s.number("residualBalance")),
      attention_balance(s.number("attentionBalance")),
      dropout(s.number("dropout")),
      clip(s.number("clip")) {
  // TypeScript has said this in its own words; here it keeps a mistake there from dividing by zero.
  bool fits = blocks >= 1 && head_channels >= 1 && noise_channels >= 1 && embedding_channels >= 1 && !widths.empty();
  for (const std::int64_t width : widths) fits = fits && width >= 1;
  DPM_CHECK(fits, "DPM_INVALID_OPTION", "Expected at least 1 for every size among the native settings of \"edm2-unet\".");
}

bool Edm2Settings::attends(std::int64_t resolution) const {
  return std::find(attention_resolutions.begin(), attention_resolutions.end(), resolution) != attention_resolutions.end();
}

Edm2Block::Edm2Block(ParameterList& list, const std::string& name, std::int64_t in, std::int64_t out, const Edm2Settings& settings, Side side,
                     bool attention, Resize resize)
    : side_(side),
      resize_(resize),
      heads_(out / settings.head_channels),
      residual_balance_(settings.residual_balance),
      attention_balance_(settings.attention_balance),
      dropout_(settings.dropout),
      clip_(settings.clip),
      conv1_(list, name + ".conv1", side == Side::encoder ? out : in, out, 3),
      conv2_(list, name + ".conv2", out, out, 3),
      time_(list, name + ".time", settings.embedding_channels, out),
      time_gain_(list.add(name + ".time.gain", {}, {})) {
  if (in != out) shortcut_.emplace(list, name + ".shortcut", in, out, 1);
  if (!attention) return;
  DPM_CHECK(out % settings.head_channels == 0, "DPM_INVALID_OPTION", "`headChannels` do not divide " + std::to_string(out) + " channels.");
  qkv_.emplace(list, name + ".attention.qkv", out, 3 * out, 1);
  out_.emplace(list, name + ".attention.out", out, out, 1);
}

at::Tensor Edm2Block::operator()(Pass& pass, const at::Tensor& x, const at::Tensor& embedding) const {
  return recompute(pass, x, embedding, [this](Pass& inner, const at::Tensor& h, const at::Tensor& beside) { return run(inner, h, beside); });
}

at::Tensor Edm2Block::run(Pass& pass, const at::Tensor& given, const at::Tensor& embedding) const {
  if (pass.cancellation) pass.cancellation->throw_if_requested();
  at::Tensor x = resize_ == Resize::none ? given : resize_ == Resize::halve ? half_size(given) : double_size(given);
  const auto straighten = [&] { return shortcut_ ? (*shortcut_)(pass, x) : x; };
  if (side_ == Side::encoder) x = unit_magnitude(straighten(), {1});
  at::Tensor y = conv1_(pass, mp_silu(x));
  const at::Tensor scale = time_(pass, embedding, pass[time_gain_]) + 1;
  y = mp_silu(y * scale.unsqueeze(-1).unsqueeze(-1));
  y = conv2_(pass, dropout(pass, y, dropout_));
  if (side_ == Side::decoder) x = straighten();
  x = mp_sum(x, y, residual_balance_);
  if (qkv_) x = mp_sum(x, attend(pass, x), attention_balance_);
  return clip_ > 0 ? at::clamp(x, -clip_, clip_) : x;
}

at::Tensor Edm2Block::attend(const Pass& pass, const at::Tensor& x) const {
  const std::int64_t count = x.size(0), channels = x.size(1), height = x.size(2), width = x.size(3);
  // Channel by channel of each head q, k, v; each at magnitude one over the channels of its head, so that their products are
  // cosines.
  const at::Tensor joint = (*qkv_)(pass, x).permute({0, 2, 3, 1}).reshape({count, height * width, heads_, channels / heads_, 3});
  const at::Tensor parts = unit_magnitude(joint, {3}).permute({4, 0, 2, 1, 3});
  return (*out_)(pass, dpm::attend(pass, parts).reshape({count, height, width, channels}).permute({0, 3, 1, 2}));
}

void Edm2Block::force(const std::vector<at::Tensor>& parameters) const {
  for (const MpWeight* weight : {&conv1_.weight, &conv2_.weight, &time_.weight}) weight->force(parameters);
  for (const auto* layer : {&shortcut_, &qkv_, &out_}) {
    if (*layer) (*layer)->weight.force(parameters);
  }
}

Edm2Unet::Edm2Unet(const Settings& settings) : Network(settings), settings_(settings) {
  const Edm2Settings& s = settings_;
  using Side = Edm2Block::Side;
  using Resize = Edm2Block::Resize;
  ParameterList& list = parameters_;
  fourier_ = MpFourier(list, "noise", s.noise_channels);
  noise_ = MpLinear(list, "noise", s.noise_channels, s.embedding_channels);
  if (shape().classes > 0) class_table_.emplace(list, "classes.weight", std::vector<std::int64_t>{s.embedding_channels, shape().classes});

  std::int64_t width = s.widths.front(), resolution = shape().height;
  input_ = MpConvolution(list, "input", shape().input_channels + shape().condition_channels + 1, width, 3);
  std::vector<std::int64_t> skips{width};
  for (std::size_t l = 0; l < s.widths.size(); ++l) {
    const std::string name = "encoder." + std::to_string(l);
    Level level;
    if (l > 0) {
      resolution /= 2;
      level.resample.emplace(list, name + ".resample", width, width, s, Side::encoder, false, Resize::halve);
      skips.push_back(width);
    }
    for (std::int64_t i = 0; i < s.blocks; ++i) {
      level.blocks.emplace_back(list, name + ".blocks." + std::to_string(i), width, s.widths[l], s, Side::encoder, s.attends(resolution));
      width = s.widths[l];
      skips.push_back(width);
    }
    encoder_.push_back(std::move(level));
  }

  middle_.emplace_back(list, "middle.0", width, width, s, Side::decoder, true);
  middle_.emplace_back(list, "middle.1", width, width, s, Side::decoder, false);

  decoder_.resize(s.widths.size());
  for (std::size_t l = s.widths.size(); l-- > 0;) {
    const std::string name = "decoder." + std::to_string(l);
    Level level;
    if (l + 1 < s.widths.size()) {
      resolution *= 2;
      level.resample.emplace(list, name + ".resample", width, width, s, Side::decoder, false, Resize::twice);
    }
    for (std::int64_t i = 0; i <= s.blocks; ++i) {
      level.blocks.emplace_back(list, name + ".blocks." + std::to_string(i), width + skips.back(), s.widths[l], s, Side::decoder,
                                s.attends(resolution));
      skips.pop_back();
      width = s.widths[l];
    }
    decoder_[l] = std::move(level);
  }
  output_ = MpConvolution(list, "output", width, shape().output_channels, 3);
  output_gain_ = list.add("output.gain", {}, {});
}

at::Tensor Edm2Unet::condition(const Pass& pass, const Conditioning& conditioning) const {
  at::Tensor embedding = noise_(pass, fourier_(pass, conditioning.labels));
  if (class_table_) {
    // One-hot labels times sqrt(classes), through a linear map over sqrt(classes): a column. No class is a row of zeros.
    const at::Tensor table = at::constant_pad_nd(class_table_->rows(pass).t(), {0, 0, 0, class_rows() - shape().classes});
    embedding = mp_sum(embedding, at::embedding(table, conditioning.classes), settings_.label_balance);
  }
  return mp_silu(embedding);
}

at::Tensor Edm2Unet::forward(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const {
  const at::Tensor embedding = condition(pass, conditioning);
  const at::Tensor joined = conditioning.image.defined() ? at::cat({x, conditioning.image}, 1) : x;
  // A channel of ones takes the place of biases.
  at::Tensor h = input_(pass, at::constant_pad_nd(joined, {0, 0, 0, 0, 0, 1}, 1));
  std::vector<at::Tensor> skips{h};
  for (const Level& level : encoder_) {
    if (level.resample) skips.push_back(h = (*level.resample)(pass, h, embedding));
    for (const Edm2Block& block : level.blocks) skips.push_back(h = block(pass, h, embedding));
  }
  for (const Edm2Block& block : middle_) h = block(pass, h, embedding);
  for (std::size_t l = decoder_.size(); l-- > 0;) {
    if (decoder_[l].resample) h = (*decoder_[l].resample)(pass, h, embedding);
    for (const Edm2Block& block : decoder_[l].blocks) {
      h = block(pass, mp_cat(h, skips.back(), settings_.concat_balance), embedding);
      skips.pop_back();
    }
  }
  return output_(pass, h, pass[output_gain_]);
}

void Edm2Unet::constrain(const std::vector<at::Tensor>& parameters) const {
  noise_.weight.force(parameters);
  if (class_table_) class_table_->force(parameters);
  input_.weight.force(parameters);
  output_.weight.force(parameters);
  for (const Edm2Block& block : middle_) block.force(parameters);
  for (const auto* levels : {&encoder_, &decoder_}) {
    for (const Level& level : *levels) {
      if (level.resample) level.resample->force(parameters);
      for (const Edm2Block& block : level.blocks) block.force(parameters);
    }
  }
}

}  // namespace dpm
