#include "networks/forward_step.h"

#include <ATen/core/grad_mode.h>

#include "error.h"

namespace dpm {

at::Tensor encoded(const WeightedNetwork& network, const at::Tensor& x, const at::Tensor& labels, const at::Tensor& gate) {
  const ForwardStep* step = forward_step_of(*network.network);
  DPM_CHECK(step, "DPM_INVALID_ARGUMENT", "The network does not learn the forward process.");
  DPM_CHECK(x.dim() == 4 && x.size(0) >= 1, "DPM_INVALID_ARGUMENT", "Expected at least one image of shape N×C×H×W for `x`.");
  DPM_CHECK(labels.numel() == x.size(0) && gate.numel() == x.size(0), "DPM_INVALID_ARGUMENT", "Expected one label and one gate per image.");
  const at::NoGradGuard no_grad;
  const at::Device device = network.device();
  Pass pass{network.parameters};
  const at::Tensor given = x.to(device, at::kFloat).contiguous(at::MemoryFormat::ChannelsLast);
  return step->encode(pass, given, labels.to(device), gate.view({-1, 1, 1, 1}).to(device, at::kFloat));
}

}  // namespace dpm
