// A network's parameters: names, shapes and first values, all in one flat float32 buffer.
//
// One buffer per role (values, gradients, optimizer moments, averages) lets the optimizer, the averaging, the clip and the
// zeroing run in one pass, and makes a copy of a network a single copy. Convolution weights lie channels-last in it.
// What a network keeps without learning it by gradient (running statistics of a norm) lies behind the rest: the optimizer
// stops before it, and an averaged copy has it as it is.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace dpm {

// How a parameter starts.
struct Initializer {
  enum class Kind { zeros, ones, uniform, normal, orthogonal };
  Kind kind = Kind::zeros;
  double scale = 0;  // half-width of the uniform, standard deviation of the normal, factor on the orthogonal matrix
  double mean = 0;   // of the normal
};

// Index into the list; a layer keeps these and looks its tensors up at every call.
using ParameterIndex = std::size_t;

class ParameterList {
 public:
  struct Entry {
    std::string name;
    std::vector<std::int64_t> shape;
    std::int64_t offset;
    std::int64_t size;
    Initializer initializer;
    bool trained;
  };

  ParameterIndex add(std::string name, std::vector<std::int64_t> shape, Initializer initializer);
  // The same for what no gradient reaches.
  ParameterIndex add_statistic(std::string name, std::vector<std::int64_t> shape, Initializer initializer);
  const std::vector<Entry>& entries() const { return entries_; }
  // Throws DPM_INVALID_ARGUMENT when there is no such name.
  ParameterIndex find(const std::string& name) const;

  // Where the statistics begin: elements before it are trained.
  std::int64_t trained_size() const { return trained_size_; }
  bool has_statistics() const { return statistics_size_ > 0; }

  // A zeroed buffer that holds all parameters.
  at::Tensor allocate(const at::Device& device) const;
  // Views of one buffer, in the order of the list.
  std::vector<at::Tensor> views(const at::Tensor& flat) const;
  // Draws the first values: keyed by seed and name, so they depend on nothing else.
  void initialize(const at::Tensor& flat, double seed) const;

 private:
  ParameterIndex append(std::string name, std::vector<std::int64_t> shape, Initializer initializer, bool trained);

  std::vector<Entry> entries_;  // offsets of statistics count from trained_size_
  std::int64_t trained_size_ = 0, statistics_size_ = 0;
};

}  // namespace dpm
