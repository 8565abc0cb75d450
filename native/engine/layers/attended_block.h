// A residual block and the attention that may follow it: what runs again as one on the way back, where activations are not kept.
#pragma once
#include <optional>

#include "layers/residual_block.h"

namespace dpm {

struct AttendedBlock {
  ResidualBlock block;
  std::optional<Attention> attention;

  at::Tensor operator()(Pass& pass, const at::Tensor& x, const Embedding& embedding) const;
};

}  // namespace dpm
