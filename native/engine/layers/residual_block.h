// The residual block of U-Nets, with every difference between the public implementations a setting.
#pragma once
#include <optional>
#include <string>

#include "layers/activation.h"
#include "layers/layers.h"

namespace dpm {

struct ResidualSettings {
  // How the embedding of time and class enters: not at all; added before the second norm (DDPM); as scale and shift of what the
  // second norm gives (improved DDPM); as scale and shift of what both give, which then have no weights of their own.
  enum class Modulation { none, shift, scale_shift, adaptive };
  enum class Shortcut { none, biased, bare };
  enum class Resize { none, halve, twice, smooth_halve, smooth_twice };

  std::int64_t in, inner, out;  // channels of x, of the first convolution's result, of the second's
  std::int64_t groups_in, groups_inner;
  std::int64_t embedding_channels;
  Modulation modulation = Modulation::shift;
  Shortcut shortcut = Shortcut::none;  // a 1×1 convolution on the straight way, with or without bias
  Resize resize = Resize::none;
  Activation activation = Activation::silu;
  double epsilon = 1e-6, dropout = 0, scale = 1;  // scale: of the sum
};

// The embedding of time and class, N×E, as it is and after the activation.
struct Embedding {
  at::Tensor plain, activated;
};

// (resize(x) + conv2(dropout(act(norm2(conv1(resize(act(norm1(x)))))))) * scale.
class ResidualBlock {
 public:
  ResidualBlock(ParameterList& list, const std::string& name, const ResidualSettings& settings, const Initialization& start);
  at::Tensor operator()(Pass& pass, const at::Tensor& x, const Embedding& embedding) const;
  // The one of the two that it reads.
  const at::Tensor& told(const Embedding& embedding) const;

 private:
  at::Tensor first_norm(const Pass& pass, const at::Tensor& x, const Embedding& embedding) const;
  at::Tensor second_norm(const Pass& pass, const at::Tensor& x, const Embedding& embedding) const;
  at::Tensor resized(const at::Tensor& x) const;

  ResidualSettings settings_;
  GroupNorm norm1_, norm2_;
  AdaptiveGroupNorm adaptive1_, adaptive2_;
  Convolution conv1_, conv2_;
  Linear time_;
  std::optional<Convolution> shortcut_;
};

}  // namespace dpm
