// Attention over the positions of an image in which learned keys and values, the memory, take part beside the image's own.
#pragma once
#include <optional>
#include <string>

#include "layers/layers.h"
#include "layers/rms_norm.h"

namespace dpm {

struct MemoryAttentionSettings {
  std::int64_t channels, heads, head_channels;
  std::int64_t memory;  // keys and values of a head; 0: none
  // Linear in the positions (Shen et al. 2018, arXiv 1812.01243): per head softmax(q) over channels, softmax(k) over positions,
  // and q (kᵀ v) / sqrt(channels of a head); its result goes through a norm of its own. Otherwise softmax(q kᵀ / sqrt(…)) v.
  bool linear;
};

// x + attention(norm(x)). qkv has no bias; the memory is 2×heads×memory×channels of a head, keys before values.
class MemoryAttention {
 public:
  MemoryAttention() = default;
  MemoryAttention(ParameterList& list, const std::string& name, const MemoryAttentionSettings& settings, const Initialization& start);
  at::Tensor operator()(const Pass& pass, const at::Tensor& x) const;

 private:
  // The image's own keys (0) or values (1), N×heads×positions×channels, behind those of the memory.
  at::Tensor remembered(const Pass& pass, const at::Tensor& own, std::int64_t which) const;
  // Of all these, N×heads×positions×channels each; half precision makes of it what it makes of a matrix product.
  at::Tensor mix(const Pass& pass, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) const;

  MemoryAttentionSettings settings_{};
  RmsNorm norm_;
  std::optional<ParameterIndex> memory_;
  ParameterIndex qkv_ = 0;
  Linear out_;
  std::optional<RmsNorm> out_norm_;
};

}  // namespace dpm
