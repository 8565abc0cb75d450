#include <immintrin.h>

#include "ops/winograd.h"

#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512vl,fma")

namespace dpm::cpu {
namespace avx512 {
namespace {

#include "ops/vector_avx512.h"
// After Vector, in this order.
#include "ops/product_body.h"

#include "ops/winograd_body.h"

}  // namespace
}  // namespace avx512

const WinogradKernels& winograd_avx512() { return avx512::kKernels; }

}  // namespace dpm::cpu

#pragma GCC pop_options
