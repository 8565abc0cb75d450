// The gradients of fused kernels have no gradient: a pass that will differentiate twice says so (Pass::twice) and does
// without the kernels.
#pragma once
#include <ATen/core/grad_mode.h>

#include <string>

#include "error.h"

namespace dpm {

// For a kernel's backward(). Throws DPM_NOT_IMPLEMENTED where its gradient would be differentiated: its part would be missing.
inline void check_differentiated_once(const char* kernel) {
  DPM_CHECK(!at::GradMode::is_enabled(), "DPM_NOT_IMPLEMENTED",
            "The gradient of the fused " + std::string(kernel) + " cannot be differentiated again. Make the pass with `twice`.");
}

}  // namespace dpm
