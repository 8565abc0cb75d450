// Element body of the loss.
#pragma once
#include <cmath>

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

DPM_KERNEL LossElement loss_element(LossKind kind, double scale, float factor, float difference) {
  const float magnitude = difference < 0 ? -difference : difference;
  switch (kind) {
    case LossKind::l1:
      return {double{magnitude}, difference > 0 ? factor : difference < 0 ? -factor : 0.0f};
    case LossKind::huber: {
      const auto bend = static_cast<float>(scale);
      const float limited = difference < -bend ? -bend : difference > bend ? bend : difference;
      return {magnitude < bend ? 0.5 * double{difference} * double{difference} : scale * (double{magnitude} - 0.5 * scale), factor * limited};
    }
    case LossKind::pseudo_huber: {
      // d^2 / (root + scale) is root - scale without its cancellation.
      const double square = double{difference} * double{difference};
      const double root = sqrt(square + scale * scale);
      return {square / (root + scale), factor * static_cast<float>(double{difference} / root)};
    }
    case LossKind::l2:
      break;
  }
  return {double{difference} * double{difference}, 2.0f * factor * difference};
}

}  // namespace dpm
