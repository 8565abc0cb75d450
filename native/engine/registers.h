// The registers of a sampling run: tensors of one shape, used again as they fall free, so that a step allocates nothing.
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

namespace dpm {

class Registers {
 public:
  // Of the run's shape N×C×H×W, float32, channels-last in memory.
  Registers(int count, std::vector<std::int64_t> shape, const at::Device& device);

  const std::vector<std::int64_t>& shape() const { return shape_; }
  const at::Device& device() const { return device_; }

  // Throws DPM_INVALID_ARGUMENT where nothing has been written yet.
  const at::Tensor& source(int index) const;
  // The tensor to write to. Never one that is shown: such a register is given another.
  const at::Tensor& target(int index);
  // A tensor of the run's shape and layout, held by nobody else, as the register's own.
  void put(int index, at::Tensor values);

  // Two registers as they are now, until the next call, whatever is written to them meanwhile.
  void show(int x, int clean);
  // What is shown; undefined before there is any.
  const at::Tensor& x() const { return shown_x_; }
  const at::Tensor& clean() const { return shown_clean_; }

 private:
  at::Tensor& slot(int index) { return slots_[static_cast<std::size_t>(index)]; }
  bool is_shown(const at::Tensor& tensor) const { return tensor.is_same(shown_x_) || tensor.is_same(shown_clean_); }
  // Keeps a tensor for later if nobody holds it any more.
  void retire(at::Tensor tensor);

  std::vector<std::int64_t> shape_;
  at::Device device_;
  std::vector<at::Tensor> slots_, spare_;
  at::Tensor shown_x_, shown_clean_;
};

}  // namespace dpm
