// Arithmetic of a run. Norms, softmax and embeddings stay in float32 whatever it is.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>

namespace dpm {

enum class Precision { float32, tf32, bfloat16, float16 };

// Throws DPM_INVALID_OPTION for another name.
Precision precision_of(const std::string& name);

// While it lives, libtorch's autocast runs convolutions and matrix products of this thread in the precision: on a CPU
// at::conv2d, at::linear and at::matmul, but not at::convolution.
class PrecisionScope {
 public:
  PrecisionScope(Precision precision, const at::Device& device);
  ~PrecisionScope();
  PrecisionScope(const PrecisionScope&) = delete;
  PrecisionScope& operator=(const PrecisionScope&) = delete;

 private:
  at::DeviceType device_;
  bool casts_;
};

}  // namespace dpm
