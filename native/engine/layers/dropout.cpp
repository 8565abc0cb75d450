#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>

#include "layers/layers.h"
#include "ops/launch.h"
#include "profile.h"

namespace dpm {
namespace {

// x is half precision where autocast has made it so; the kernel knows float32.
at::Tensor masked(const at::Tensor& given, const DropoutKeys& keys, std::uint32_t site, double probability) {
  const at::Tensor x = given.to(at::kFloat);
  const at::Tensor out = at::empty_like(x);
  if (x.numel() == 0) return out.to(given.scalar_type());
  const Operation operation("dpm::dropout", {x}, {out});
  launch_dropout(x.device(), {x.const_data_ptr<float>(), out.mutable_data_ptr<float>(), keys.examples, keys.epochs, x.size(0), x.numel() / x.size(0),
                              keys.key, site, static_cast<float>(probability)});
  return out.to(given.scalar_type());
}

// The mask is drawn again on the way back instead of stored. The keys outlive the step's backward pass.
struct CounterDropout : torch::autograd::Function<CounterDropout> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const DropoutKeys* keys, std::int64_t site,
                            double probability) {
    context->saved_data["keys"] = reinterpret_cast<std::int64_t>(keys);
    context->saved_data["site"] = site;
    context->saved_data["probability"] = probability;
    return masked(x.contiguous(at::MemoryFormat::ChannelsLast), *keys, static_cast<std::uint32_t>(site), probability);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    const auto* keys = reinterpret_cast<const DropoutKeys*>(context->saved_data["keys"].toInt());
    // The mask is linear: its gradient is itself, and so can be differentiated again.
    return {
        CounterDropout::apply(gradients[0], keys, context->saved_data["site"].toInt(), context->saved_data["probability"].toDouble()), {}, {}, {}};
  }
};

}  // namespace

at::Tensor dropout(Pass& pass, const at::Tensor& x, double probability) {
  const std::uint32_t site = pass.next_dropout_site++;
  if (pass.dropout == nullptr || probability == 0) return x;
  return CounterDropout::apply(x, pass.dropout, static_cast<std::int64_t>(site), probability);
}

}  // namespace dpm
