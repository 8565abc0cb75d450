#include "networks/refinenet.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/add.h>
#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/upsample_bilinear2d.h>

#include <algorithm>
#include <sstream>
#include <string>

#include "error.h"

namespace dpm {
namespace {

std::string numbered(const std::string& name, std::size_t index) { return name + "." + std::to_string(index); }

std::string label_text(float label) {
  std::ostringstream text;
  text << label;
  return text.str();
}

}  // namespace

RefinenetSettings::RefinenetSettings(const Settings& s)
    : dilations(s.integers("dilations")),
      blocks(s.integer("blocks")),
      levels(s.integer("levels")),
      largest(s.text("pooling") == "max"),
      activation(activation_of(s.text("activation"))),
      start{initialization_scheme(s.text("initialization"))} {
  for (const std::int64_t multiplier : s.integers("multipliers")) widths.push_back(multiplier * s.integer("channels"));
  // TypeScript has said this in its own words.
  DPM_CHECK(widths.size() >= 2 && widths.size() == dilations.size() && blocks >= 1, "DPM_INVALID_OPTION",
            "Expected a dilation for each of two or more levels of at least one block.");
  const auto positive = [](std::int64_t value) { return value >= 1; };
  DPM_CHECK(std::all_of(widths.begin(), widths.end(), positive) && std::all_of(dilations.begin(), dilations.end(), positive), "DPM_INVALID_OPTION",
            "Expected multipliers, channels and dilations of at least 1.");
}

RefiningConvolution::RefiningConvolution(ParameterList& list, const std::string& name, std::int64_t channels, const RefinenetSettings& s)
    : conv_(), activation_(s.activation) {
  if (s.levels > 0) norm_.emplace(list, name + ".norm", channels, s.levels);
  conv_ = Convolution(list, name + ".conv", channels, channels, 3, s.start, Role::inner, false);
}

at::Tensor RefiningConvolution::operator()(const Pass& pass, const at::Tensor& x, const at::Tensor& level) const {
  return conv_(pass, activate(activation_, norm_ ? (*norm_)(pass, x, level) : x));
}

ResidualUnits::ResidualUnits(ParameterList& list, const std::string& name, std::int64_t channels, int units, const RefinenetSettings& s) {
  for (int unit = 0; unit < units; ++unit) {
    for (int i = 0; i < 2; ++i) convolutions_.emplace_back(list, numbered(numbered(name, unit), i), channels, s);
  }
}

at::Tensor ResidualUnits::operator()(const Pass& pass, at::Tensor x, const at::Tensor& level) const {
  for (std::size_t i = 0; i < convolutions_.size(); i += 2) x = x + convolutions_[i + 1](pass, convolutions_[i](pass, x, level), level);
  return x;
}

RefineBlock::RefineBlock(ParameterList& list, const std::string& name, const std::vector<std::int64_t>& in, std::int64_t out, bool last,
                         const RefinenetSettings& s)
    : activation_(s.activation), largest_(s.largest) {
  const auto joint = [&](const std::string& of, std::int64_t from, bool bias) {
    Joint result;
    if (s.levels > 0) result.norm.emplace(list, of + ".norm", from, s.levels);
    result.conv = Convolution(list, of + ".conv", from, out, 3, s.start, Role::inner, bias);
    return result;
  };
  for (std::size_t i = 0; i < in.size(); ++i) adapt_.emplace_back(list, numbered(name + ".adapt", i), in[i], 2, s);
  for (std::size_t i = 0; in.size() > 1 && i < in.size(); ++i) fuse_.push_back(joint(numbered(name + ".fuse", i), in[i], true));
  for (std::size_t i = 0; i < 2; ++i) pool_.push_back(joint(numbered(name + ".pool", i), out, false));
  output_.emplace(list, name + ".output", out, last ? 3 : 1, s);
}

at::Tensor RefineBlock::fuse(const Pass& pass, const std::vector<at::Tensor>& adapted, const at::Tensor& level) const {
  const std::vector<std::int64_t> size{adapted[0].size(2), adapted[0].size(3)};
  at::Tensor sum;
  for (std::size_t i = 0; i < adapted.size(); ++i) {
    at::Tensor h = fuse_[i].conv(pass, fuse_[i].norm ? (*fuse_[i].norm)(pass, adapted[i], level) : adapted[i]);
    if (h.size(2) != size[0] || h.size(3) != size[1]) h = at::upsample_bilinear2d(h, size, true);
    sum = sum.defined() ? sum + h : h;
  }
  return sum;
}

at::Tensor RefineBlock::operator()(const Pass& pass, const std::vector<at::Tensor>& inputs, const at::Tensor& level) const {
  if (pass.cancellation) pass.cancellation->throw_if_requested();
  std::vector<at::Tensor> adapted;
  for (std::size_t i = 0; i < inputs.size(); ++i) adapted.push_back(adapt_[i](pass, inputs[i], level));
  at::Tensor x = activate(activation_, fuse_.empty() ? adapted[0] : fuse(pass, adapted, level));
  at::Tensor path = x;
  for (const Joint& pool : pool_) {
    if (pool.norm) path = (*pool.norm)(pass, path, level);
    path = largest_ ? at::max_pool2d(path, {5, 5}, {1, 1}, {2, 2}) : at::avg_pool2d(path, {5, 5}, {1, 1}, {2, 2});
    path = pool.conv(pass, path);
    x = x + path;
  }
  return (*output_)(pass, x, level);
}

DilatedBlock::DilatedBlock(ParameterList& list, const std::string& name, std::int64_t in, std::int64_t out, int dilation, bool first,
                           const RefinenetSettings& s)
    : norm1_(list, name + ".norm1", in, s.levels),
      conv1_(list, name + ".conv1", in, first ? in : out, Kernel(3, dilation), s.start),
      norm2_(list, name + ".norm2", first ? in : out, s.levels),
      conv2_(list, name + ".conv2", first ? in : out, out, Kernel(3, dilation), s.start),
      halves_(first && dilation == 1),
      activation_(s.activation) {
  if (first) shortcut_ = Convolution(list, name + ".shortcut", in, out, halves_ ? Kernel(1) : Kernel(3, dilation), s.start);
}

at::Tensor DilatedBlock::operator()(const Pass& pass, const at::Tensor& x, const at::Tensor& level) const {
  if (pass.cancellation) pass.cancellation->throw_if_requested();
  at::Tensor h = conv1_(pass, activate(activation_, norm1_(pass, x, level)));
  h = conv2_(pass, activate(activation_, norm2_(pass, h, level)));
  if (!shortcut_) return x + h;
  // Means and 1×1 convolutions change places freely.
  return halves_ ? (*shortcut_)(pass, half_size(x)) + half_size(h) : (*shortcut_)(pass, x) + h;
}

Refinenet::Refinenet(const Settings& settings) : Network(settings), settings_(settings) {
  const RefinenetSettings& s = settings_;
  ParameterList& list = parameters_;
  const std::size_t count = s.widths.size();
  input_ = Convolution(list, "input", shape().input_channels + shape().condition_channels, s.widths[0], 3, s.start);
  for (std::size_t l = 0; l < count; ++l) {
    const std::string name = numbered("down", l) + ".blocks";
    std::vector<DilatedBlock> blocks;
    for (std::int64_t i = 0; i < s.blocks; ++i) {
      const bool first = l > 0 && i == 0;
      blocks.emplace_back(list, numbered(name, i), s.widths[first ? l - 1 : l], s.widths[l], static_cast<int>(s.dilations[l]), first, s);
    }
    down_.push_back(std::move(blocks));
  }
  // Each refining block gives the channels of the level above it, the coarsest its own.
  std::vector<std::int64_t> out(s.widths);
  for (std::size_t l = 1; l + 1 < count; ++l) out[l] = s.widths[l - 1];
  for (std::size_t l = 0; l < count; ++l) {
    std::vector<std::int64_t> in{s.widths[l]};
    if (l + 1 < count) in.push_back(out[l + 1]);
    refine_.emplace_back(list, numbered("refine", l), in, out[l], l == 0, s);
  }
  output_norm_.emplace(list, "output.norm", s.widths[0], s.levels);
  output_ = Convolution(list, "output.conv", s.widths[0], shape().output_channels, 3, s.start);
}

void Refinenet::check(const at::Tensor& x, const Conditioning& conditioning) const {
  Network::check(x, conditioning);
  if (settings_.levels == 0) return;
  const at::Tensor labels = conditioning.labels.to(at::kCPU, at::kFloat).contiguous();
  for (std::int64_t n = 0; n < labels.numel(); ++n) {
    const float label = labels.const_data_ptr<float>()[n];
    DPM_CHECK(label >= 0 && label < static_cast<float>(settings_.levels) && label == static_cast<float>(static_cast<std::int64_t>(label)),
              "DPM_INVALID_ARGUMENT",
              "Expected a whole number from 0 to " + std::to_string(settings_.levels - 1) + ", a noise level of the network, for `labels[" +
                  std::to_string(n) + "]` but received " + label_text(label) + ".");
  }
}

at::Tensor Refinenet::forward(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const {
  const at::Tensor level = settings_.levels > 0 ? conditioning.labels.to(at::kLong) : at::Tensor();
  at::Tensor h = input_(pass, conditioning.image.defined() ? at::cat({x, conditioning.image}, 1) : x);
  std::vector<at::Tensor> states;
  for (const auto& blocks : down_) {
    for (const DilatedBlock& block : blocks) h = block(pass, h, level);
    states.push_back(h);
  }
  for (std::size_t l = refine_.size(); l-- > 0;) {
    std::vector<at::Tensor> inputs{states[l]};
    if (l + 1 < refine_.size()) inputs.push_back(h);
    h = refine_[l](pass, inputs, level);
  }
  return output_(pass, activate(settings_.activation, (*output_norm_)(pass, h, level)));
}

}  // namespace dpm
