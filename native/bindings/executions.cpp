// Sampling programs: created, advanced from emit to emit, read.
#include "bindings.h"
#include "convert.h"
#include "execution.h"
#include "handles.h"
#include "job.h"

#include <limits>

namespace dpm {
namespace {

Napi::Object progress_object(Napi::Env env, const Execution::Progress& progress) {
  const Napi::Object result = Napi::Object::New(env);
  result.Set("step", progress.step);
  result.Set("evaluations", progress.evaluations);
  return result;
}

Napi::Value execution_create(const Napi::CallbackInfo& info) {
  std::vector<std::shared_ptr<WeightedNetwork>> networks;
  const auto list = info[0].As<Napi::Array>();
  for (std::uint32_t i = 0; i < list.Length(); ++i) networks.push_back(unwrap<WeightedNetwork>(list.Get(i)));
  DPM_CHECK(!networks.empty(), "DPM_INVALID_ARGUMENT", "Expected at least one network.");
  std::vector<at::Tensor> inputs;
  const auto tensors = info[2].As<Napi::Array>();
  for (std::uint32_t i = 0; i < tensors.Length(); ++i) inputs.push_back(unwrap_tensor(tensors.Get(i)));
  const auto object = info[3].As<Napi::Object>();
  Execution::Options options{object.Get("seed").ToNumber(), numbers_of(object.Get("samples")), object.Get("chunk").ToNumber().Int64Value(),
                             classes_of(object.Get("classes")), precision_of(info[4].ToString())};
  return run_job(
      info.Env(), nullptr,
      [networks, numbers = numbers_of(info[1]), inputs, options] {
        return std::make_shared<Execution>(networks, decode_program(numbers, static_cast<int>(networks.size())), inputs, options);
      },
      [](Napi::Env env, const std::shared_ptr<Execution>& execution) { return wrap(env, execution); });
}

// Holds a JavaScript function until the job has settled; let go on the JavaScript thread only.
struct Listener {
  Napi::FunctionReference function;
};

Napi::Value execution_advance(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto execution = unwrap<Execution>(info[0]);
  const double requested = info[1].ToNumber();
  const std::int64_t emits = requested >= 9e15 ? std::numeric_limits<std::int64_t>::max() : static_cast<std::int64_t>(requested);
  const auto cancellation = unwrap_optional<Cancellation>(info[3]);
  std::shared_ptr<Listener> listener;
  std::function<void(const Execution::Progress&)> on_emit;
  if (info[2].IsFunction()) {
    listener = std::make_shared<Listener>(Listener{Napi::Persistent(info[2].As<Napi::Function>())});
    on_emit = [listener, environment = Environment::of(env).shared_from_this()](const Execution::Progress& progress) {
      environment->deliver([listener, progress](Napi::Env env) { listener->function.Call({progress_object(env, progress)}); });
    };
  }
  return run_job(
      env, cancellation,
      [execution, emits, on_emit = std::move(on_emit), cancellation] { return execution->advance(emits, on_emit, cancellation.get()); },
      [listener](Napi::Env env, const Execution::Progress& progress) {
        const Napi::Object result = progress_object(env, progress);
        result.Set("done", progress.done);
        return result;
      });
}

Napi::Value execution_read(const Napi::CallbackInfo& info) {
  const std::string which = info[1].ToString();
  return run_job(
      info.Env(), nullptr,
      [execution = unwrap<Execution>(info[0]), which] {
        return which == "x" ? execution->x() : which == "clean" ? execution->clean() : execution->output();
      },
      wrap_tensor);
}

}  // namespace

void export_executions(Napi::Env env, Napi::Object exports) {
  export_function(env, exports, "executionCreate", execution_create);
  export_function(env, exports, "executionAdvance", execution_advance);
  export_function(env, exports, "executionRead", execution_read);
}

}  // namespace dpm
