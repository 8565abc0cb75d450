#include "precision.h"

#include <ATen/Context.h>
#include <ATen/autocast_mode.h>

#include "error.h"

namespace dpm {

Precision precision_of(const std::string& name) {
  if (name == "float32") return Precision::float32;
  if (name == "tf32") return Precision::tf32;
  if (name == "bfloat16") return Precision::bfloat16;
  if (name == "float16") return Precision::float16;
  throw Error("DPM_INVALID_OPTION", "Expected one of float32, tf32, bfloat16, float16 for `precision` but received \"" + name + "\".");
}

PrecisionScope::PrecisionScope(Precision precision, const at::Device& device)
    : device_(device.type()), casts_(precision == Precision::bfloat16 || precision == Precision::float16) {
  if (device.is_cuda()) {
    // libtorch lets cuDNN round float32 convolutions to TF32 unless told otherwise, and pick algorithms whose sums change
    // from run to run: then float32 would not be float32, and a resumed run would leave its curve.
    at::Context& context = at::globalContext();
    context.setAllowTF32CuBLAS(precision == Precision::tf32);
    context.setAllowTF32CuDNN(precision == Precision::tf32);
    context.setDeterministicCuDNN(true);
  }
  if (!casts_) return;
  at::autocast::set_autocast_dtype(device_, precision == Precision::bfloat16 ? at::kBFloat16 : at::kHalf);
  at::autocast::set_autocast_enabled(device_, true);
  at::autocast::increment_nesting();
}

PrecisionScope::~PrecisionScope() {
  if (!casts_) return;
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(device_, false);
}

}  // namespace dpm
