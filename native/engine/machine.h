// What this machine reaches at most, measured: the two lines of the roofline model (Williams, Waterman and Patterson 2009,
// doi 10.1145/1498765.1498785).
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "cancellation.h"
#include "precision.h"

namespace dpm {

// Seconds of each of `times` convolutions 3×3 of `count` images of size × size from `channels` to as many, channels-last, by
// libtorch in the precision; the first, which warms up, is not counted.
std::vector<double> convolution_seconds(std::int64_t count, std::int64_t channels, std::int64_t size, Precision precision, const at::Device& device,
                                        std::int64_t times, const Cancellation* cancellation);

// Seconds of each of `times` copies of so many bytes, each read once and written once; the first is not counted.
std::vector<double> copy_seconds(std::int64_t bytes, const at::Device& device, std::int64_t times, const Cancellation* cancellation);

}  // namespace dpm
