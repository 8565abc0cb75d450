// Element body of the loss.
#pragma once
#include "ops/kernels.h"

namespace dpm {

struct LossElement {
  double loss;
  float gradient;
};

// What the gradient of the batch's loss by an element has as its factor: weight_n / (total * size).
DPM_KERNEL float loss_factor(const LossArguments& a, std::int64_t n) {
  return static_cast<float>(a.rows[n].weight / (a.total * static_cast<double>(a.size)));
}

DPM_KERNEL LossElement loss_element(LossKind kind, float factor, float difference) {
  const float magnitude = difference < 0 ? -difference : difference;
  switch (kind) {
    case LossKind::l1:
      return {double{magnitude}, difference > 0 ? factor : difference < 0 ? -factor : 0.0f};
    case LossKind::huber: {  // smooth L1 with the bend at 1
      const float limited = difference < -1.0f ? -1.0f : difference > 1.0f ? 1.0f : difference;
      return {magnitude < 1.0f ? 0.5 * double{difference} * double{difference} : double{magnitude} - 0.5, factor * limited};
    }
    case LossKind::l2:
      break;
  }
  return {double{difference} * double{difference}, 2.0f * factor * difference};
}

}  // namespace dpm
