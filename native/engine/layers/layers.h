// Layers shared by the networks. A layer registers its parameters when it is built and keeps their indices.
#pragma once
#include <ATen/core/Tensor.h>

#include <optional>
#include <string>

#include "layers/activation.h"
#include "networks/network.h"

namespace dpm {

// How weights start: by name, see lib/networks/initialization.ts.
struct Initialization {
  enum class Scheme { ddpm, torch, he_normal, he_uniform, xavier_normal, xavier_uniform, orthogonal } scheme = Scheme::ddpm;
  enum class Last { zero, tiny, like_others } last = Last::zero;
  double slope = 0;      // of the leaky ReLU behind a layer, below 0: what He's gain depends on
  double attention = 1;  // factor on the variance of an attention's q, k and v
};

// The scheme of a name. Throws DPM_INVALID_OPTION for a name that is none.
Initialization::Scheme initialization_scheme(const std::string& name);

// What a layer is for: q, k and v start each on its own, though they are one layer.
enum class Role { inner, attention, last };

// Height and width of a convolution's kernel (odd), and the distance of its taps.
struct Kernel {
  Kernel(int size, int dilation = 1) : size(size), dilation(dilation) {}
  int size, dilation;
};

class Convolution {
 public:
  Convolution() = default;
  // Pads so that the output has the size of x.
  Convolution(ParameterList& list, const std::string& name, std::int64_t in, std::int64_t out, Kernel kernel, const Initialization& start,
              Role role = Role::inner, bool biased = true);
  at::Tensor operator()(const Pass& pass, const at::Tensor& x) const;
  // Stride 2; asymmetric pads right and bottom only, as TensorFlow's 'same' does for even sizes.
  at::Tensor halve(const Pass& pass, const at::Tensor& x, bool asymmetric) const;
  // Stride 2 without padding.
  at::Tensor halve_inside(const Pass& pass, const at::Tensor& x) const;

 private:
  std::optional<at::Tensor> bias(const Pass& pass) const { return bias_ ? std::optional(pass[*bias_]) : std::nullopt; }

  ParameterIndex weight_ = 0;
  std::optional<ParameterIndex> bias_;
  Kernel kernel_{3};
};

// Every position becomes a patch of its own, as large as the stride: a map of H×W becomes one of (H height)×(W width).
class PatchConvolution {
 public:
  PatchConvolution() = default;
  // The weight is stored as in×out×height×width, as PyTorch's ConvTranspose2d has it.
  PatchConvolution(ParameterList& list, const std::string& name, std::int64_t in, std::int64_t out, std::int64_t height, std::int64_t width,
                   const Initialization& start);
  at::Tensor operator()(const Pass& pass, const at::Tensor& x) const;

 private:
  ParameterIndex weight_ = 0, bias_ = 0;
  std::int64_t height_ = 1, width_ = 1;
};

class Linear {
 public:
  Linear() = default;
  Linear(ParameterList& list, const std::string& name, std::int64_t in, std::int64_t out, const Initialization& start, Role role = Role::inner);
  // With first weights of one's own; a bias starts at zero.
  Linear(ParameterList& list, const std::string& name, std::int64_t in, std::int64_t out, Initializer weight, bool bias = true);
  // x: …×in.
  at::Tensor operator()(const Pass& pass, const at::Tensor& x) const;
  // The same at every position of an image: x N×in×H×W.
  at::Tensor pointwise(const Pass& pass, const at::Tensor& x) const;

 private:
  at::Tensor bias(const Pass& pass) const { return bias_ ? pass[*bias_] : at::Tensor(); }

  ParameterIndex weight_ = 0;
  std::optional<ParameterIndex> bias_;
};

// What time and class do to a norm; each N×C or undefined.
struct Modulation {
  at::Tensor offset;        // added to x
  at::Tensor scale, shift;  // of what the norm gives: * (1 + scale) + shift
};

class GroupNorm {
 public:
  GroupNorm() = default;
  GroupNorm(ParameterList& list, const std::string& name, std::int64_t channels, std::int64_t groups, double epsilon);
  at::Tensor operator()(const Pass& pass, const at::Tensor& x) const;
  // silu(norm(x + offset) * (1 + scale) + shift).
  at::Tensor silu(const Pass& pass, const at::Tensor& x, const Modulation& modulation = {}) const;
  // The same with another activation.
  at::Tensor activated(const Pass& pass, const at::Tensor& x, Activation activation, const Modulation& modulation = {}) const;

 private:
  ParameterIndex weight_ = 0, bias_ = 0;
  std::int64_t groups_ = 1;
  double epsilon_ = 1e-6;
};

// norm(x) * (1 + scale) + shift with scale and shift a linear function, `name.linear`, of an embedding; the norm has no weights.
class AdaptiveGroupNorm {
 public:
  AdaptiveGroupNorm() = default;
  AdaptiveGroupNorm(ParameterList& list, const std::string& name, std::int64_t channels, std::int64_t groups, double epsilon,
                    std::int64_t embedding_channels, const Initialization& start);
  // embedding: N×E.
  at::Tensor operator()(const Pass& pass, const at::Tensor& x, const at::Tensor& embedding) const;

 private:
  Linear linear_;
  std::int64_t groups_ = 1;
  double epsilon_ = 1e-5;
};

// Of 3×N×heads×positions×C queries, keys and values: N×positions×(heads·C).
at::Tensor attend(const Pass& pass, const at::Tensor& parts);

// Of queries, keys and values, N×positions×3E, each with E / heads channels a head: N×positions×E. Rows of 3E are [q | k | v],
// each head by head, or, interleaved, head by head [q | k | v].
at::Tensor attend(const Pass& pass, const at::Tensor& joint, std::int64_t heads, bool interleaved = false);

struct AttentionSettings {
  std::int64_t channels;
  std::int64_t heads;
  bool interleaved;
  std::int64_t groups;  // 0: no norm
  double epsilon;
  double skip_scale;
  std::int64_t inner = 0;  // channels of all heads together; 0: as many as x has
};

// (x + attention(norm(x))) * skip_scale over the positions of an image.
class Attention {
 public:
  Attention() = default;
  Attention(ParameterList& list, const std::string& name, const AttentionSettings& settings, const Initialization& start);
  at::Tensor operator()(const Pass& pass, const at::Tensor& x) const;

 private:
  AttentionSettings settings_{};
  std::optional<GroupNorm> norm_;
  Linear qkv_, out_;
};

// [sin, cos], or [cos, sin], of label * 1e4^(-i / (half - shift)), i = 0 … half - 1, half = ⌊channels / 2⌋, and a zero where channels
// are odd. labels: N → N×channels.
at::Tensor sinusoids(const at::Tensor& labels, std::int64_t channels, double shift, bool cosine_first);

// Sinusoids of the time label, see `timeEmbedding` in lib/networks/unet.ts. labels: N → N×channels.
at::Tensor time_embedding(const at::Tensor& labels, std::int64_t channels, const std::string& kind);

// x with elements dropped by the counter; x itself outside training or at probability 0. Takes the pass's next site.
at::Tensor dropout(Pass& pass, const at::Tensor& x, double probability);

// Nearest neighbour, twice the height and width.
at::Tensor double_size(const at::Tensor& x);

// Nearest neighbour.
at::Tensor nearest_size(const at::Tensor& x, std::int64_t height, std::int64_t width);

// 2×2 average.
at::Tensor half_size(const at::Tensor& x);

}  // namespace dpm
