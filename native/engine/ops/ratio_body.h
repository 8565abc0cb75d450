// What follows the sums of a ratio.
#pragma once
#include <cmath>

#include "ops/kernels.h"

namespace dpm {

DPM_KERNEL double measure_of(Measure measure, double squares, std::int64_t size) {
  return sqrt(measure == Measure::norm ? squares : squares / static_cast<double>(size - 1));
}

DPM_KERNEL float ratio_of(const RatioArguments& arguments, double a, double b) {
  return b == 0 ? 0.0f : static_cast<float>(arguments.factor * pow(a / b, arguments.power));
}

}  // namespace dpm
