#include "pass.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd.h>

#include <utility>

#include "error.h"

namespace dpm {

std::shared_ptr<GradientPass> GradientPass::run(const std::shared_ptr<WeightedNetwork>& network, const at::Tensor& x, Conditioning conditioning,
                                                bool gradient, Precision precision, const Cancellation* cancellation) {
  network->network->check(x, conditioning);
  const at::Device device = network->device();
  conditioning = network->network->prepare(std::move(conditioning), x.size(0), device);

  auto result = std::make_shared<GradientPass>();
  at::Tensor input = x.to(device, at::kFloat).contiguous(at::MemoryFormat::ChannelsLast).detach();
  std::vector<at::Tensor> parameters = network->parameters;
  if (gradient) {
    input.requires_grad_(true);
    const auto& entries = network->network->parameters().entries();
    for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i] = parameters[i].detach().requires_grad_(entries[i].trained);
  }
  const at::AutoGradMode mode(gradient);
  const PrecisionScope scope(precision, device);
  Pass pass{parameters, nullptr, cancellation};
  const at::Tensor output = network->network->forward(pass, input, conditioning).to(at::kFloat);
  result->output_ = output.detach();
  if (gradient) {
    result->recorded_ = output;
    result->inputs_.push_back(input);
    result->inputs_.insert(result->inputs_.end(), parameters.begin(), parameters.end());
  }
  return result;
}

std::vector<at::Tensor> GradientPass::backward(const at::Tensor& gradient) {
  DPM_CHECK(recorded_.defined(), "DPM_INVALID_ARGUMENT",
            "This pass has no gradient to give: it was made without, or backward() was called already. Call forward() again.");
  DPM_CHECK(gradient.sizes() == recorded_.sizes(), "DPM_INVALID_ARGUMENT", "Expected a `gradient` of the output's shape.");
  // Statistics are among the inputs, and have no gradient.
  std::vector<at::Tensor> differentiated;
  for (const at::Tensor& input : inputs_) {
    if (input.requires_grad()) differentiated.push_back(input);
  }
  auto found = torch::autograd::grad({recorded_}, differentiated, {gradient.to(recorded_.device(), at::kFloat)}, false, false, true);
  std::vector<at::Tensor> results;
  auto next = found.begin();
  for (const at::Tensor& input : inputs_) {
    const at::Tensor of_input = input.requires_grad() ? *next++ : at::Tensor();
    results.push_back(of_input.defined() ? of_input.detach().contiguous() : at::zeros_like(input));
  }
  recorded_ = at::Tensor();
  inputs_.clear();
  return results;
}

}  // namespace dpm
