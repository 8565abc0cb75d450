// The inputs of a layer or a kernel on its own (layer_alone.cpp, kernel_alone.cpp), which must not be trusted either.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "error.h"

namespace dpm {

class Inputs {
 public:
  // Undefined tensors stand for JavaScript's null.
  explicit Inputs(std::vector<at::Tensor> tensors) : tensors_(std::move(tensors)) {}

  [[nodiscard]] std::size_t size() const { return tensors_.size(); }
  [[nodiscard]] bool has(std::size_t place) const { return place < tensors_.size() && tensors_[place].defined(); }

  // The tensor in a place, on the CPU, of this shape (-1: any extent). Throws DPM_INVALID_ARGUMENT otherwise.
  const at::Tensor& at(std::size_t place, at::IntArrayRef shape) const {
    const std::string name = "input " + std::to_string(place);
    DPM_CHECK(has(place) && tensors_[place].is_cpu(), "DPM_INVALID_ARGUMENT", "Expected a tensor on the CPU for " + name + ".");
    const at::Tensor& tensor = tensors_[place];
    bool fits = tensor.dim() == static_cast<std::int64_t>(shape.size());
    for (std::size_t i = 0; fits && i < shape.size(); ++i) fits = shape[i] < 0 || tensor.size(static_cast<std::int64_t>(i)) == shape[i];
    DPM_CHECK(fits, "DPM_INVALID_ARGUMENT", "Expected another shape for " + name + " than " + c10::str(tensor.sizes()) + ".");
    return tensor;
  }
  // The same, of one kind of number.
  const at::Tensor& at(std::size_t place, at::IntArrayRef shape, at::ScalarType dtype) const {
    const at::Tensor& tensor = at(place, shape);
    DPM_CHECK(tensor.scalar_type() == dtype, "DPM_INVALID_ARGUMENT",
              "Expected other numbers for input " + std::to_string(place) + " than " + c10::toString(tensor.scalar_type()) + ".");
    return tensor;
  }
  // The same where there is one, else an undefined tensor.
  at::Tensor maybe(std::size_t place, at::IntArrayRef shape) const { return has(place) ? at(place, shape) : at::Tensor(); }

 private:
  std::vector<at::Tensor> tensors_;
};

}  // namespace dpm
