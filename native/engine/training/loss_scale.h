// The factor on the loss in float16, whose smallest number is 6e-8 (Micikevicius et al. 2018, arXiv 1710.03740, §3.2), moved as
// torch.amp.GradScaler moves it: halved when a gradient overflows, doubled after 2000 updates without. It has a floor: a gradient
// that overflows unscaled is a fault of the run, not of the scale.
#pragma once
#include <cstdint>

#include "precision.h"

namespace dpm {

class LossScale {
 public:
  explicit LossScale(Precision precision) : used_(precision == Precision::float16), factor_(used_ ? 65536.0 : 1.0) {}

  bool used() const { return used_; }
  double factor() const { return factor_; }
  std::int64_t updates() const { return updates_; }
  void restore(double factor, std::int64_t updates) {
    factor_ = factor;
    updates_ = updates;
  }

  void updated() {
    if (!used_ || ++updates_ < kInterval) return;
    updates_ = 0;
    if (factor_ < kHighest) factor_ *= 2;
  }

  // Whether a lower scale is left to try.
  bool overflowed() {
    if (factor_ <= kLowest) return false;
    factor_ /= 2;
    updates_ = 0;
    return true;
  }

 private:
  static constexpr std::int64_t kInterval = 2000;
  static constexpr double kLowest = 1, kHighest = 16777216;  // 2^24: beyond it float32 sums lose the gradient's own bits

  bool used_;
  double factor_;
  std::int64_t updates_ = 0;  // since the factor changed
};

}  // namespace dpm
