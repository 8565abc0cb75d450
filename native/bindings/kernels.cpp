// Kernels on their own, for the tests that hold them to plain operators.
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include "bindings.h"
#include "convert.h"
#include "handles.h"
#include "job.h"
#include "layers/layers.h"

namespace dpm {
namespace {

struct Attended {
  at::Tensor mixed, by_joint;
};

Attended attend_alone(at::Tensor joint, const at::Tensor& by_mixed, const Settings& settings) {
  const at::AutoGradMode mode(by_mixed.defined());
  const std::int64_t heads = settings.integer("heads"), channels = settings.integer("channels"), first = settings.integer("first");
  const bool columns = settings.flag("columns");
  joint = joint.detach();
  if (by_mixed.defined()) joint.requires_grad_(true);
  DPM_CHECK(joint.dim() == 3 && heads >= 1 && channels >= 1 && channels % heads == 0 && first >= 0, "DPM_INVALID_ARGUMENT",
            "Expected a `joint` of three dimensions, and `heads` that divide `channels`.");
  const at::Tensor rows = columns ? joint.transpose(1, 2) : joint;
  DPM_CHECK(first + 3 * channels <= rows.size(2), "DPM_INVALID_ARGUMENT", "Expected rows of at least `first` + 3 `channels`.");
  const std::vector<at::Tensor> parameters;
  Pass pass{parameters};
  pass.fused_attention = settings.flag("fused");
  const at::Tensor mixed = attend(pass, rows.narrow(2, first, 3 * channels), heads, settings.flag("interleaved"));
  if (!by_mixed.defined()) return {mixed, {}};
  DPM_CHECK(by_mixed.sizes() == mixed.sizes(), "DPM_INVALID_ARGUMENT", "Expected a `byMixed` of the result's shape.");
  return {mixed.detach(), torch::autograd::grad({mixed}, {joint}, {by_mixed.to(mixed.scalar_type())})[0].detach()};
}

Napi::Value attend_by_kernel(const Napi::CallbackInfo& info) {
  return run_job(
      info.Env(), nullptr,
      [joint = unwrap_tensor(info[0]), by_mixed = info[1].IsNull() ? at::Tensor() : unwrap_tensor(info[1]), settings = settings_of(info[2])] {
        return attend_alone(joint, by_mixed, settings);
      },
      [](Napi::Env env, const Attended& attended) {
        const Napi::Object result = Napi::Object::New(env);
        result.Set("mixed", wrap_tensor(env, attended.mixed));
        result.Set("byJoint", attended.by_joint.defined() ? wrap_tensor(env, attended.by_joint) : env.Null());
        return result;
      });
}

}  // namespace

void export_kernels(Napi::Env env, Napi::Object exports) { export_function(env, exports, "attend", attend_by_kernel); }

}  // namespace dpm
