#include "layers/recompute.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/alias.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>

namespace dpm {
namespace {

// What the way back needs beside the inputs. The pass's parameters and keys outlive the step's backward pass.
struct Kept : torch::CustomClassHolder {
  Kept(const Pass& at_start, Part run) : pass(at_start), part(std::move(run)) {}
  Pass pass;
  Part part;
};

at::Tensor leaf_of(const at::Tensor& saved) { return saved.detach().requires_grad_(saved.is_floating_point()); }

struct Recomputed : torch::autograd::Function<Recomputed> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& beside, Pass* pass, const Part& part) {
    context->saved_data["kept"] = c10::IValue::make_capsule(c10::make_intrusive<Kept>(*pass, part));
    context->save_for_backward({x, beside});
    const at::AutoGradMode without_gradient(false);
    return part(*pass, x, beside);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto capsule = context->saved_data["kept"].toCapsule();
    const auto* kept = static_cast<const Kept*>(capsule.get());
    Pass pass = kept->pass;
    pass.recomputing = true;
    const at::Tensor x = leaf_of(saved[0]), beside = leaf_of(saved[1]);
    at::Tensor y;
    {
      const at::AutoGradMode with_gradient(true);
      const PrecisionScope scope(pass.precision, x.device());
      y = kept->part(pass, x, beside);
    }
    // Gradients of the weights go where they always go, into their own `grad`.
    torch::autograd::backward({y}, {gradients[0].to(y.scalar_type())});
    return {x.grad(), beside.grad(), {}, {}};
  }
};

}  // namespace

at::Tensor recompute(Pass& pass, const at::Tensor& x, const at::Tensor& beside, Part part) {
  if (!at::GradMode::is_enabled()) return part(pass, x, beside);
  // Nodes of their own gather the part's gradients before they join others, as a second run does: the sums are the same.
  if (!pass.activation_checkpointing) return part(pass, at::alias(x), at::alias(beside));
  return Recomputed::apply(x, beside, &pass, part);
}

}  // namespace dpm
