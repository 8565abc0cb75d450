#include "networks/encoder_unet.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/relu.h>

#include <cmath>
#include <string>

namespace dpm {
namespace {

// The mean of each channel, N×C.
at::Tensor channel_means(const at::Tensor& x) { return x.mean({2, 3}); }

class AdaptivePool final : public LogitPool {
 public:
  AdaptivePool(ParameterList& list, const UnetSettings& s, std::int64_t logits)
      : norm_(list, "pool.norm", s.widths.back(), s.groups_of(s.widths.back()), s.group_epsilon),
        out_(list, "pool.out", s.widths.back(), logits, s.start, Role::last) {}

  at::Tensor operator()(const Pass& pass, const UnetEncoder::Encoding& encoding) const override {
    return out_(pass, channel_means(norm_.silu(pass, encoding.h)));
  }

 private:
  GroupNorm norm_;
  Linear out_;
};

// The mean of all positions asks, and it and the positions answer.
class AttentionPool final : public LogitPool {
 public:
  AttentionPool(ParameterList& list, const UnetSettings& s, std::int64_t positions, std::int64_t logits)
      : heads_(s.attention(s.widths.back()).heads),
        norm_(list, "pool.norm", s.widths.back(), s.groups_of(s.widths.back()), s.group_epsilon),
        positions_(list.add("pool.positions", {s.widths.back(), positions + 1},
                            {Initializer::Kind::normal, 1 / std::sqrt(static_cast<double>(s.widths.back()))})),
        qkv_(list, "pool.qkv", s.widths.back(), 3 * s.widths.back(), s.start, Role::attention),
        out_(list, "pool.out", s.widths.back(), logits, s.start) {}

  at::Tensor operator()(const Pass& pass, const UnetEncoder::Encoding& encoding) const override {
    const at::Tensor places = norm_.silu(pass, encoding.h).flatten(2);
    const at::Tensor tokens = (at::cat({places.mean(2, true), places}, 2) + pass[positions_]).transpose(1, 2);
    return out_(pass, attend(pass, qkv_(pass, tokens), heads_).select(1, 0));
  }

 private:
  std::int64_t heads_;
  GroupNorm norm_;
  ParameterIndex positions_;
  Linear qkv_, out_;
};

// Means of what every block and resampling gives, through one hidden layer: ReLU, or a norm and SiLU.
class SpatialPool final : public LogitPool {
 public:
  SpatialPool(ParameterList& list, const UnetSettings& s, std::int64_t features, std::int64_t logits, bool normed)
      : in_(list, "pool.in", features, kHidden, s.start) {
    if (normed) norm_.emplace(list, "pool.norm", kHidden, s.groups_of(kHidden), s.group_epsilon);
    out_ = Linear(list, "pool.out", kHidden, logits, s.start);
  }

  at::Tensor operator()(const Pass& pass, const UnetEncoder::Encoding& encoding) const override {
    std::vector<at::Tensor> means;
    for (const at::Tensor& skip : encoding.skips) means.push_back(channel_means(skip));
    means.push_back(channel_means(encoding.h));
    const at::Tensor hidden = in_(pass, at::cat(means, 1));
    return out_(pass, norm_ ? norm_->silu(pass, hidden.unsqueeze(-1).unsqueeze(-1)).flatten(1) : at::relu(hidden));
  }

 private:
  static constexpr std::int64_t kHidden = 2048;

  Linear in_, out_;
  std::optional<GroupNorm> norm_;
};

std::unique_ptr<const LogitPool> make_pool(const std::string& kind, ParameterList& list, const UnetSettings& s, const UnetEncoder& encoder,
                                           const DataShape& shape) {
  const std::int64_t logits = shape.output_channels;
  if (kind == "adaptive") return std::make_unique<AdaptivePool>(list, s, logits);
  if (kind == "attention") {
    const std::int64_t width = shape.width / (shape.height / encoder.resolution());
    return std::make_unique<AttentionPool>(list, s, encoder.resolution() * width, logits);
  }
  std::int64_t features = s.widths.back();
  for (const std::int64_t width : encoder.skip_widths()) features += width;
  return std::make_unique<SpatialPool>(list, s, features, logits, kind == "spatial_v2");
}

}  // namespace

EncoderUnet::EncoderUnet(const Settings& settings)
    : Network(settings),
      settings_(settings),
      encoder_(parameters_, settings_, shape()),
      pool_(make_pool(settings.text("pool"), parameters_, settings_, encoder_, shape())) {}

at::Tensor EncoderUnet::forward(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const {
  return (*pool_)(pass, encoder_(pass, x, conditioning));
}

}  // namespace dpm
