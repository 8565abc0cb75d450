#include <immintrin.h>

#include "ops/pointwise.h"

#pragma GCC push_options
#pragma GCC target("avx2,fma")

namespace dpm::cpu {
namespace avx2 {
namespace {

#include "ops/vector_avx2.h"
// After Vector, in this order.
#include "ops/product_body.h"

#include "ops/pointwise_body.h"

}  // namespace
}  // namespace avx2

const PointwiseKernels& pointwise_avx2() { return avx2::kKernels; }

}  // namespace dpm::cpu

#pragma GCC pop_options
