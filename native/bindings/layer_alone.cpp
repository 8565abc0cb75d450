// Layers on their own, for the tests that hold the fused ones to plain operators.
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd.h>

#include <map>

#include "alone.h"
#include "bindings.h"
#include "convert.h"
#include "handles.h"
#include "job.h"
#include "layers/layers.h"

namespace dpm {
namespace {

using Tensors = std::vector<at::Tensor>;  // undefined where JavaScript has null

// Of the dropout of a batch: example n is n, in epoch 2n. It outlives the way back.
struct Keys {
  explicit Keys(std::int64_t count, double seed) {
    for (std::int64_t n = 0; n < count; ++n) {
      examples.push_back(static_cast<double>(n));
      epochs.push_back(static_cast<double>(2 * n));
    }
    keys = {key_of(seed), examples.data(), epochs.data()};
  }
  std::vector<double> examples, epochs;
  DropoutKeys keys;
};

// Of x, then what the layer has beside it.
using Layer = at::Tensor (*)(Pass&, const Inputs&, const Settings&);

// x; weight; bias or null.
at::Tensor convolve(Pass& pass, const Inputs& inputs, const Settings& settings) {
  const at::Tensor& x = inputs.at(0, {-1, -1, -1, -1});
  const at::Tensor& weight = inputs.at(1, {-1, x.size(1), -1, -1});
  const std::int64_t size = weight.size(2), dilation = settings.integer("dilation");
  DPM_CHECK(weight.size(3) == size && size % 2 == 1 && size < 32 && dilation >= 1 && dilation < 32 && weight.numel() > 0, "DPM_INVALID_ARGUMENT",
            "Expected an odd square kernel and a dilation of at least 1, both less than 32.");
  inputs.maybe(2, {weight.size(0)});
  ParameterList list;
  const Kernel kernel(static_cast<int>(size), static_cast<int>(dilation));
  return Convolution(list, "layer", weight.size(1), weight.size(0), kernel, {}, Role::inner, inputs.has(2))(pass, x);
}

// x; weight, bias; offset, scale and shift or null.
at::Tensor norm_silu(Pass& pass, const Inputs& inputs, const Settings& settings) {
  const at::Tensor& x = inputs.at(0, {-1, -1, -1, -1});
  const std::int64_t channels = x.size(1);
  for (const std::size_t place : {1, 2}) inputs.at(place, {channels});
  DPM_CHECK(inputs.has(4) == inputs.has(5), "DPM_INVALID_ARGUMENT", "Expected both a scale and a shift, or neither.");
  const auto rows = [&](std::size_t place) { return inputs.maybe(place, {x.size(0), channels}); };
  ParameterList list;
  const GroupNorm norm(list, "layer", channels, settings.integer("groups"), settings.number("epsilon"));
  // As a convolution before it would give x.
  return norm.silu(pass, pass.precision == Precision::bfloat16 ? x.to(at::kBFloat16) : x, {rows(3), rows(4), rows(5)});
}

// Queries, keys and values: N × positions × 3 heads' width.
at::Tensor attend_rows(Pass& pass, const Inputs& inputs, const Settings& settings) {
  const at::Tensor& joint = inputs.at(0, {-1, -1, -1});
  const std::int64_t heads = settings.integer("heads");
  DPM_CHECK(heads >= 1 && joint.size(2) > 0 && joint.size(2) % (3 * heads) == 0, "DPM_INVALID_ARGUMENT",
            "Expected heads that divide a third of the channels.");
  return attend(pass, joint, heads, settings.flag("interleaved"));
}

at::Tensor drop(Pass& pass, const Inputs& inputs, const Settings& settings) {
  const double probability = settings.number("probability");
  DPM_CHECK(probability >= 0 && probability < 1, "DPM_INVALID_ARGUMENT", "Expected a probability of at least 0, less than 1.");
  return dropout(pass, inputs.at(0, {-1, -1, -1, -1}), probability);
}

const std::map<std::string, Layer>& layers() {
  static const auto* const list =
      new std::map<std::string, Layer>{{"convolution", convolve}, {"group-norm-silu", norm_silu}, {"attention", attend_rows}, {"dropout", drop}};
  return *list;
}

// The same numbers in another place of memory.
at::Tensor placed(const at::Tensor& tensor, const std::string& place) {
  if (place == "plain" || tensor.dim() < 3) return tensor;
  if (place == "channels-last") return tensor.dim() == 4 ? tensor.contiguous(at::MemoryFormat::ChannelsLast) : tensor;
  if (place == "transposed") return tensor.transpose(-1, -2).contiguous().transpose(-1, -2);
  if (place == "sliced") return at::cat({tensor + 1e3, tensor, tensor + 1e3}, 1).narrow(1, tensor.size(1), tensor.size(1));
  if (place == "spaced") return at::stack({tensor + 1e3, tensor}, -1).select(-1, 1);
  throw Error("DPM_INVALID_ARGUMENT", "Expected one of plain, channels-last, transposed, sliced, spaced for a place but received \"" + place + "\".");
}

struct LayerRun {
  at::Tensor output;
  Tensors gradients;
};

LayerRun run_layer(const std::string& name, const Tensors& given, const at::Tensor& by_output, const Settings& settings) {
  const auto found = layers().find(name);
  DPM_CHECK(found != layers().end(), "DPM_INVALID_ARGUMENT", "There is no layer named \"" + name + "\".");
  DPM_CHECK(!given.empty() && given[0].defined() && given[0].dim() > 0, "DPM_INVALID_ARGUMENT", "Expected images or rows for input 0.");
  for (const at::Tensor& tensor : given)
    DPM_CHECK(!tensor.defined() || (tensor.is_cpu() && tensor.scalar_type() == given[0].scalar_type() && tensor.is_floating_point()),
              "DPM_INVALID_ARGUMENT", "Expected inputs on the CPU, all float32 or all float64.");
  const std::string& place = settings.text("place");
  const at::AutoGradMode mode(by_output.defined());
  Tensors inputs, wanted;
  for (const at::Tensor& tensor : given) {
    const bool is_weight = inputs.size() == 1;
    inputs.push_back(tensor.defined() ? placed(tensor, is_weight ? settings.text("weightPlace") : place).detach() : at::Tensor());
    if (by_output.defined() && tensor.defined()) wanted.push_back(inputs.back().requires_grad_(true));
  }
  const Tensors parameters(inputs.begin() + 1, inputs.end());
  const Keys keys(inputs[0].size(0), settings.number("seed"));
  Pass pass{parameters, &keys.keys};
  // Otherwise what the environment says.
  if (!settings.flag("fused")) pass.winograd = pass.pointwise = pass.matrix_tiles = pass.fused_norms = pass.fused_attention = false;
  pass.twice = settings.flag("twice");
  pass.precision = precision_of(settings.text("precision"));
  at::Tensor output;
  {
    const PrecisionScope scope(pass.precision, at::kCPU);
    output = found->second(pass, Inputs(inputs), settings);
  }
  LayerRun run{output.detach(), {}};
  if (!by_output.defined()) return run;
  const bool everywhere = by_output.numel() == 1;  // as the gradient of a sum arrives, without memory of its own
  DPM_CHECK(by_output.is_cpu() && by_output.scalar_type() == given[0].scalar_type(), "DPM_INVALID_ARGUMENT",
            "Expected a `byOutput` of the inputs' kind.");
  const at::Tensor slope = everywhere ? by_output.sum().expand(output.sizes()) : placed(by_output, place);
  DPM_CHECK(slope.sizes() == output.sizes(), "DPM_INVALID_ARGUMENT", "Expected a `byOutput` of the output's shape.");
  const bool again = settings.flag("again");
  Tensors gradients = torch::autograd::grad({output}, wanted, {slope.to(output.scalar_type())}, again, again);
  if (again) {
    // Of half the square of their length, all together.
    at::Tensor length = at::zeros({}, output.options());
    for (const at::Tensor& gradient : gradients) length = length + gradient.square().sum() / 2;
    gradients = torch::autograd::grad({length}, wanted, {}, false, false, true);
  }
  std::size_t next = 0;
  for (const at::Tensor& input : inputs) {
    const at::Tensor gradient = input.defined() ? gradients[next++] : at::Tensor();
    // Of what the result does not depend on there is none.
    run.gradients.push_back(input.defined() && !gradient.defined() ? at::zeros_like(input).detach()
                            : gradient.defined()                   ? gradient.detach()
                                                                   : gradient);
  }
  return run;
}

Tensors tensors_of(const Napi::Value& list) {
  return entries_of(list_of(list, "inputs"), [](const Napi::Value& handle) { return image_of(handle); });
}

Napi::Value layer_alone(const Napi::CallbackInfo& info) {
  return run_job(
      info.Env(), nullptr,
      [name = text_of(info[0], "name"), inputs = tensors_of(info[1]), by_output = image_of(info[2]), settings = settings_of(info[3])] {
        return run_layer(name, inputs, by_output, settings);
      },
      [](Napi::Env env, const LayerRun& run) {
        const Napi::Object result = Napi::Object::New(env);
        const Napi::Array gradients = Napi::Array::New(env, run.gradients.size());
        for (std::uint32_t i = 0; i < gradients.Length(); ++i) {
          gradients.Set(i, run.gradients[i].defined() ? wrap_tensor(env, run.gradients[i]) : env.Null());
        }
        result.Set("output", wrap_tensor(env, run.output));
        result.Set("gradients", gradients);
        return result;
      });
}

}  // namespace

void export_layer_alone(Napi::Env env, Napi::Object exports) { export_function(env, exports, "layerAlone", layer_alone); }

}  // namespace dpm
