// A forward pass that remembers what its backward pass needs.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "cancellation.h"
#include "networks/network.h"
#include "precision.h"

namespace dpm {

class GradientPass {
 public:
  // With `gradient`, input and parameters are recorded; without, only the output is kept.
  static std::shared_ptr<GradientPass> run(const std::shared_ptr<WeightedNetwork>& network, const at::Tensor& x, Conditioning conditioning,
                                           bool gradient, Precision precision, const Cancellation* cancellation);

  const at::Tensor& output() const { return output_; }
  // Gradients of sum(output * gradient) by the input (first) and every parameter. Once per pass: it frees the graph.
  // Throws DPM_INVALID_ARGUMENT when the pass was made without gradient, its gradient was taken, or the shape differs.
  std::vector<at::Tensor> backward(const at::Tensor& gradient);

 private:
  at::Tensor output_, recorded_;
  std::vector<at::Tensor> inputs_;
};

}  // namespace dpm
