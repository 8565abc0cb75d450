// The kernels of ops/kernels.h on their own, or their twins of ops/operators.h, for the tests that compare the two.
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <map>

#include "alone.h"
#include "bindings.h"
#include "convert.h"
#include "handles.h"
#include "job.h"
#include "ops/operators.h"

namespace dpm {
namespace {

using Tensors = std::vector<at::Tensor>;
using Kernel = Tensors (*)(const Inputs&, const Settings&);

template <typename Arguments>
void launch(const Settings& settings, const Arguments& arguments, void (*kernel)(const Arguments&),
            void (*twin)(const at::Device&, const Arguments&)) {
  if (settings.flag("fused")) return kernel(arguments);
  twin(at::kCPU, arguments);
}

// `size` float64 numbers.
const double* doubles(const Inputs& inputs, std::size_t place, std::int64_t size) {
  return inputs.at(place, {size}, at::kDouble).const_data_ptr<double>();
}

// `count` rows × their columns of float64.
const Row* rows_of(const Inputs& inputs, std::size_t place, std::int64_t count) {
  constexpr std::int64_t columns = sizeof(Row) / sizeof(double);
  return reinterpret_cast<const Row*>(inputs.at(place, {count, columns}, at::kDouble).const_data_ptr<double>());
}

// images, rows, examples, epochs → input and target.
Tensors noise_step(const Inputs& inputs, const Settings& settings) {
  const at::Tensor& any = inputs.at(0, {-1, -1, -1, -1});
  const at::Tensor& images = any.scalar_type() == at::kByte ? any : inputs.at(0, any.sizes(), at::kFloat);
  const auto options = at::TensorOptions().dtype(at::kFloat).memory_format(at::MemoryFormat::ChannelsLast);
  const Tensors outputs{at::empty(images.sizes(), options), at::empty(images.sizes(), options)};
  launch(settings,
         NoiseStepArguments{images.const_data_ptr(), images.scalar_type() == at::kByte, outputs[0].mutable_data_ptr<float>(),
                            outputs[1].mutable_data_ptr<float>(), rows_of(inputs, 1, images.size(0)), doubles(inputs, 2, images.size(0)),
                            doubles(inputs, 3, images.size(0)), images.size(0), images.size(1), images.size(2) * images.size(3),
                            key_of(settings.number("seed"))},
         cpu::noise_step, operators::noise_step);
  return outputs;
}

// Coefficients, then as many terms → the sum, in the place of the first term or in one of its own.
Tensors combine(const Inputs& inputs, const Settings& settings) {
  const at::Tensor& first = inputs.at(1, {-1}, at::kFloat);
  const at::Tensor out = settings.flag("inPlace") ? first.clone() : at::empty_like(first);
  CombineArguments arguments{};
  arguments.out = out.mutable_data_ptr<float>();
  arguments.size = out.numel();
  arguments.terms_count = static_cast<int>(inputs.size()) - 1;
  DPM_CHECK(arguments.terms_count <= CombineArguments::capacity, "DPM_INVALID_ARGUMENT", "Too many terms.");
  for (int k = 0; k < arguments.terms_count; ++k) {
    arguments.coefficients[k] = static_cast<float>(doubles(inputs, 0, arguments.terms_count)[k]);
    arguments.terms[k] = inputs.at(static_cast<std::size_t>(k) + 1, out.sizes(), at::kFloat).const_data_ptr<float>();
  }
  if (settings.flag("inPlace")) arguments.terms[0] = arguments.out;
  launch(settings, arguments, cpu::combine, operators::combine);
  return {out};
}

// a and b, N × size.
Tensors ratio(const Inputs& inputs, const Settings& settings) {
  const at::Tensor& a = inputs.at(0, {-1, -1}, at::kFloat);
  const at::Tensor& b = inputs.at(1, a.sizes(), at::kFloat);
  const at::Tensor out = at::empty_like(a);
  launch(settings,
         RatioArguments{out.mutable_data_ptr<float>(), a.const_data_ptr<float>(), b.const_data_ptr<float>(), out.size(0), out.size(1),
                        settings.text("measure") == "norm" ? Measure::norm : Measure::deviation, settings.number("factor"), settings.number("power")},
         cpu::ratio, operators::ratio);
  return {out};
}

LossKind loss_kind_of(const std::string& name) {
  static const auto* const kinds = new std::map<std::string, LossKind>{
      {"l2", LossKind::l2}, {"l1", LossKind::l1}, {"huber", LossKind::huber}, {"pseudo-huber", LossKind::pseudo_huber}};
  const auto found = kinds->find(name);
  DPM_CHECK(found != kinds->end(), "DPM_INVALID_ARGUMENT", "There is no loss named \"" + name + "\".");
  return found->second;
}

// output and target, N × size, and rows → the gradient, and the losses in float64.
Tensors loss(const Inputs& inputs, const Settings& settings) {
  const at::Tensor& output = inputs.at(0, {-1, -1}, at::kFloat);
  const at::Tensor& target = inputs.at(1, output.sizes(), at::kFloat);
  const Tensors outputs{at::empty_like(output), at::empty({output.size(0)}, at::kDouble)};
  launch(settings,
         LossArguments{output.const_data_ptr<float>(), target.const_data_ptr<float>(), outputs[0].mutable_data_ptr<float>(),
                       outputs[1].mutable_data_ptr<double>(), rows_of(inputs, 2, output.size(0)), settings.number("total"), output.size(0),
                       output.size(1), loss_kind_of(settings.text("loss")), settings.number("scale")},
         cpu::loss, operators::loss);
  return outputs;
}

// keep; values, gradients, first and second moments, averages → all but `keep` after one update.
Tensors optimizer(const Inputs& inputs, const Settings& settings) {
  const at::Tensor& values = inputs.at(1, {-1}, at::kFloat);
  Tensors outputs;
  for (std::size_t i = 1; i < std::max<std::size_t>(inputs.size(), 5); ++i) outputs.push_back(inputs.at(i, values.sizes(), at::kFloat).clone());
  const auto memory = [&](std::size_t i) { return outputs[i].mutable_data_ptr<float>(); };
  const auto number = [&](const char* name) { return static_cast<float>(settings.number(name)); };
  OptimizerArguments arguments{};
  arguments.values = memory(0);
  arguments.gradients = memory(1);
  arguments.first = memory(2);
  arguments.second = memory(3);
  arguments.averages_count = static_cast<int>(outputs.size()) - 4;
  DPM_CHECK(arguments.averages_count <= OptimizerArguments::capacity, "DPM_INVALID_ARGUMENT", "Too many averages.");
  for (int k = 0; k < arguments.averages_count; ++k) {
    arguments.averages[k] = memory(static_cast<std::size_t>(k) + 4);
    arguments.keep[k] = static_cast<float>(doubles(inputs, 0, arguments.averages_count)[k]);
  }
  arguments.size = outputs[0].numel();
  arguments.gradient_scale = number("gradientScale");
  arguments.beta1 = number("beta1");
  arguments.beta2 = number("beta2");
  arguments.epsilon = number("epsilon");
  arguments.step_size = number("stepSize");
  arguments.second_correction = number("secondCorrection");
  arguments.decay = number("decay");
  arguments.shrink = number("shrink");
  launch(settings, arguments, cpu::optimizer, operators::optimizer);
  return outputs;
}

// x, N × size; examples, epochs.
Tensors dropout(const Inputs& inputs, const Settings& settings) {
  const at::Tensor& x = inputs.at(0, {-1, -1}, at::kFloat);
  const at::Tensor out = at::empty_like(x);
  launch(settings,
         DropoutArguments{x.const_data_ptr<float>(), out.mutable_data_ptr<float>(), doubles(inputs, 1, x.size(0)), doubles(inputs, 2, x.size(0)),
                          out.size(0), out.size(1), key_of(settings.number("seed")), static_cast<std::uint32_t>(settings.integer("site")),
                          static_cast<float>(settings.number("probability"))},
         cpu::dropout, operators::dropout);
  return {out};
}

const std::map<std::string, Kernel>& kernels() {
  static const auto* const list = new std::map<std::string, Kernel>{
      {"noise-step", noise_step}, {"combine", combine}, {"ratio", ratio}, {"loss", loss}, {"optimizer", optimizer}, {"dropout", dropout}};
  return *list;
}

Napi::Value kernel_alone(const Napi::CallbackInfo& info) {
  const Tensors inputs = entries_of(list_of(info[1], "inputs"), [](const Napi::Value& handle) { return unwrap_tensor(handle); });
  return run_job(
      info.Env(), nullptr,
      [name = text_of(info[0], "name"), inputs, settings = settings_of(info[2])] {
        const auto found = kernels().find(name);
        DPM_CHECK(found != kernels().end(), "DPM_INVALID_ARGUMENT", "There is no kernel named \"" + name + "\".");
        Tensors dense;
        for (const at::Tensor& input : inputs) dense.push_back(input.contiguous());
        return found->second(Inputs(std::move(dense)), settings);
      },
      [](Napi::Env env, const Tensors& outputs) {
        const Napi::Array result = Napi::Array::New(env, outputs.size());
        for (std::uint32_t i = 0; i < result.Length(); ++i) result.Set(i, wrap_tensor(env, outputs[i]));
        return result;
      });
}

}  // namespace

void export_kernel_alone(Napi::Env env, Napi::Object exports) { export_function(env, exports, "kernelAlone", kernel_alone); }

}  // namespace dpm
