#include "layers/attended_block.h"

#include "layers/recompute.h"

namespace dpm {

at::Tensor AttendedBlock::operator()(Pass& pass, const at::Tensor& x, const Embedding& embedding) const {
  // A part of a network: by address it is there on the way back too.
  return recompute(pass, x, block.told(embedding), [this](Pass& inner, const at::Tensor& h, const at::Tensor& told) {
    const at::Tensor y = block(inner, h, {told, told});
    return attention ? (*attention)(inner, y) : y;
  });
}

}  // namespace dpm
