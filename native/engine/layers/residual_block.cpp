#include "layers/residual_block.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/add.h>
#include <ATen/ops/mul.h>

#include "layers/resampling.h"

namespace dpm {

ResidualBlock::ResidualBlock(ParameterList& list, const std::string& name, const ResidualSettings& settings, const Initialization& start)
    : settings_(settings) {
  using Modulation = ResidualSettings::Modulation;
  const ResidualSettings& s = settings;
  const bool adaptive = s.modulation == Modulation::adaptive;
  const auto norm = [&](GroupNorm& plain, AdaptiveGroupNorm& modulated, const char* own, std::int64_t channels, std::int64_t groups) {
    if (adaptive) {
      modulated = AdaptiveGroupNorm(list, name + own, channels, groups, s.epsilon, s.embedding_channels, start);
    } else {
      plain = GroupNorm(list, name + own, channels, groups, s.epsilon);
    }
  };
  norm(norm1_, adaptive1_, ".norm1", s.in, s.groups_in);
  conv1_ = Convolution(list, name + ".conv1", s.in, s.inner, 3, start);
  if (s.modulation == Modulation::shift) time_ = Linear(list, name + ".time", s.embedding_channels, s.inner, start);
  if (s.modulation == Modulation::scale_shift) time_ = Linear(list, name + ".time", s.embedding_channels, 2 * s.inner, start);
  norm(norm2_, adaptive2_, ".norm2", s.inner, s.groups_inner);
  conv2_ = Convolution(list, name + ".conv2", s.inner, s.out, 3, start, Role::last);
  if (s.shortcut != ResidualSettings::Shortcut::none) {
    const bool biased = s.shortcut == ResidualSettings::Shortcut::biased;
    shortcut_ = Convolution(list, name + ".shortcut", s.in, s.out, 1, start, Role::inner, biased);
  }
}

at::Tensor ResidualBlock::first_norm(const Pass& pass, const at::Tensor& x, const Embedding& embedding) const {
  if (settings_.modulation != ResidualSettings::Modulation::adaptive) return norm1_.activated(pass, x, settings_.activation);
  return activate(settings_.activation, adaptive1_(pass, x, embedding.plain));
}

at::Tensor ResidualBlock::second_norm(const Pass& pass, const at::Tensor& x, const Embedding& embedding) const {
  const Activation activation = settings_.activation;
  switch (settings_.modulation) {
    case ResidualSettings::Modulation::adaptive:
      return activate(activation, adaptive2_(pass, x, embedding.plain));
    case ResidualSettings::Modulation::shift:
      return norm2_.activated(pass, x, activation, {time_(pass, embedding.activated), {}, {}});
    case ResidualSettings::Modulation::scale_shift: {
      const auto halves = time_(pass, embedding.activated).chunk(2, 1);
      return norm2_.activated(pass, x, activation, {{}, halves[0], halves[1]});
    }
    default:
      return norm2_.activated(pass, x, activation);
  }
}

at::Tensor ResidualBlock::resized(const at::Tensor& x) const {
  switch (settings_.resize) {
    case ResidualSettings::Resize::halve:
      return half_size(x);
    case ResidualSettings::Resize::twice:
      return double_size(x);
    case ResidualSettings::Resize::smooth_halve:
      return smooth_half_size(x, Border::zeros);
    case ResidualSettings::Resize::smooth_twice:
      return smooth_double_size(x, Border::zeros);
    default:
      return x;
  }
}

const at::Tensor& ResidualBlock::told(const Embedding& embedding) const {
  return settings_.modulation == ResidualSettings::Modulation::adaptive ? embedding.plain : embedding.activated;
}

at::Tensor ResidualBlock::operator()(Pass& pass, const at::Tensor& x, const Embedding& embedding) const {
  if (pass.cancellation) pass.cancellation->throw_if_requested();
  at::Tensor h = conv1_(pass, resized(first_norm(pass, x, embedding)));
  h = second_norm(pass, h, embedding);
  h = conv2_(pass, dpm::dropout(pass, h, settings_.dropout));
  at::Tensor straight = resized(x);
  if (shortcut_) straight = (*shortcut_)(pass, straight);
  const at::Tensor sum = straight + h;
  return settings_.scale == 1 ? sum : sum * settings_.scale;
}

}  // namespace dpm
