#include "registers.h"

#include <ATen/ops/empty.h>

#include <string>
#include <utility>

#include "error.h"

namespace dpm {

Registers::Registers(int count, std::vector<std::int64_t> shape, const at::Device& device)
    : shape_(std::move(shape)), device_(device), slots_(static_cast<std::size_t>(count)) {}

const at::Tensor& Registers::source(int index) const {
  const at::Tensor& tensor = slots_[static_cast<std::size_t>(index)];
  DPM_CHECK(tensor.defined(), "DPM_INVALID_ARGUMENT", "The program reads register " + std::to_string(index) + " before it is written.");
  return tensor;
}

const at::Tensor& Registers::target(int index) {
  at::Tensor& tensor = slot(index);
  if (tensor.defined() && !is_shown(tensor)) return tensor;
  if (spare_.empty()) {
    tensor = at::empty(shape_, at::TensorOptions().dtype(at::kFloat).device(device_).memory_format(at::MemoryFormat::ChannelsLast));
  } else {
    tensor = std::move(spare_.back());
    spare_.pop_back();
  }
  return tensor;
}

void Registers::put(int index, at::Tensor values) {
  std::swap(slot(index), values);
  retire(std::move(values));
}

void Registers::show(int x, int clean) {
  at::Tensor before_x = std::exchange(shown_x_, source(x)), before_clean = std::exchange(shown_clean_, source(clean));
  if (before_clean.is_same(before_x)) before_clean.reset();
  retire(std::move(before_x));
  retire(std::move(before_clean));
}

void Registers::retire(at::Tensor tensor) {
  if (tensor.defined() && tensor.use_count() == 1 && spare_.size() < slots_.size()) spare_.push_back(std::move(tensor));
}

}  // namespace dpm
