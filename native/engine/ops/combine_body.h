// Element body of combine, added up in the order that the CPU's tiles add, so that both give the same bits.
#pragma once
#include "ops/kernels.h"

namespace dpm {

DPM_KERNEL float combine_element(const CombineArguments& a, std::int64_t i) {
  if (a.terms_count == 2) return a.coefficients[0] * a.terms[0][i] + a.coefficients[1] * a.terms[1][i];
  float sum = 0.0f;
  for (int k = 0; k < a.terms_count; ++k) sum += a.coefficients[k] * a.terms[k][i];
  return sum;
}

}  // namespace dpm
