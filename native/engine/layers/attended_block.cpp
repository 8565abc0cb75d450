#include "layers/attended_block.h"

#include <ATen/ops/silu.h>

#include "layers/recompute.h"

namespace dpm {

at::Tensor AttendedBlock::operator()(Pass& pass, const at::Tensor& x, const Embedding& embedding) const {
  // A part of a network: by address it is there on the way back too.
  const auto run = [this](Pass& inner, const at::Tensor& h, const Embedding& told) {
    const at::Tensor y = block(inner, h, told);
    return attention ? (*attention)(inner, y) : y;
  };
  if (!pass.activation_checkpointing) return run(pass, x, embedding);
  return recompute(pass, x, embedding.plain, [run](Pass& inner, const at::Tensor& h, const at::Tensor& plain) {
    return run(inner, h, {plain, at::silu(plain)});
  });
}

}  // namespace dpm
