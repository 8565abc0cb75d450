// Sampling programs: created, advanced from emit to emit, read.
#include "bindings.h"
#include "convert.h"
#include "execution.h"
#include "handles.h"
#include "job.h"

#include <atomic>
#include <limits>
#include <map>
#include <optional>

namespace dpm {
namespace {

Napi::Object progress_object(Napi::Env env, const Execution::Progress& progress) {
  const Napi::Object result = Napi::Object::New(env);
  result.Set("step", progress.step);
  result.Set("evaluations", progress.evaluations);
  return result;
}

Napi::Value question_object(Napi::Env env, const std::optional<Execution::Question>& question) {
  if (!question) return env.Null();
  const Napi::Object result = Napi::Object::New(env);
  result.Set("guide", question->guide);
  result.Set("time", question->time);
  result.Set("alpha", question->alpha);
  result.Set("sigma", question->sigma);
  return result;
}

Napi::Value execution_create(const Napi::CallbackInfo& info) {
  const auto networks = entries_of(list_of(info[0], "networks"), [](const Napi::Value& handle) { return unwrap<WeightedNetwork>(handle); });
  DPM_CHECK(!networks.empty(), "DPM_INVALID_ARGUMENT", "Expected at least one network.");
  const auto inputs = entries_of(list_of(info[2], "inputs"), [](const Napi::Value& handle) { return unwrap_tensor(handle); });
  const auto object = object_of(info[3], "options");
  Execution::Options options{seed_of(object.Get("seed")),
                             words_of(object.Get("samples"), "samples"),
                             {static_cast<std::int64_t>(whole_of(object.Get("chunk"), "chunk", 1, 1 << 20)), classes_of(object.Get("classes")),
                              image_of(object.Get("image")), precision_of(text_of(info[4], "precision"))}};
  return run_job(
      info.Env(), nullptr,
      [networks, numbers = numbers_of(info[1], "program"), inputs, options] {
        return std::make_shared<Execution>(networks, decode_program(numbers, static_cast<int>(networks.size())), inputs, options);
      },
      [](Napi::Env env, const std::shared_ptr<Execution>& execution) { return wrap(env, execution); });
}

// Holds a JavaScript function until the job has settled; let go on the JavaScript thread only. What the function throws
// ends the run and is what its promise rejects with: an exception must not leave a call from the event loop.
struct Listener {
  explicit Listener(const Napi::Function& callback) : function(Napi::Persistent(callback)) {}

  void call(Napi::Env env, const Execution::Progress& progress) {
    if (error) return;
    try {
      function.Call({progress_object(env, progress)});
    } catch (const Napi::Error& thrown) {
      error.emplace(thrown);
      failed.store(true);
    }
  }

  Napi::FunctionReference function;
  std::optional<Napi::Error> error;
  std::atomic<bool> failed{false};
};

Napi::Value execution_advance(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto execution = unwrap<Execution>(info[0]);
  const double requested = number_of(info[1], "emits");
  DPM_CHECK(requested >= 0, "DPM_INVALID_ARGUMENT", "Expected at least 0 for `emits` but received " + std::to_string(requested) + ".");
  const std::int64_t emits = requested >= 9e15 ? std::numeric_limits<std::int64_t>::max() : static_cast<std::int64_t>(requested);
  const auto cancellation = cancellation_of(info[3]);
  std::shared_ptr<Listener> listener;
  std::function<void(const Execution::Progress&)> on_emit;
  DPM_CHECK(info[2].IsFunction() || info[2].IsNull() || info[2].IsUndefined(), "DPM_INVALID_ARGUMENT", "Expected a function or null for `progress`.");
  if (info[2].IsFunction()) {
    listener = std::make_shared<Listener>(info[2].As<Napi::Function>());
    on_emit = [listener, environment = Environment::of(env).shared_from_this()](const Execution::Progress& progress) {
      if (listener->failed.load()) throw Error("DPM_ABORTED", "The progress listener failed.");
      environment->deliver([listener, progress](Napi::Env env) { listener->call(env, progress); });
    };
  }
  return run_job(
      env, cancellation,
      [execution, emits, on_emit = std::move(on_emit), cancellation, listener] {
        try {
          return execution->advance(emits, on_emit, cancellation.get());
        } catch (...) {
          if (listener && listener->failed.load()) return Execution::Progress{};
          throw;
        }
      },
      [listener](Napi::Env env, const Execution::Progress& progress) {
        if (listener && listener->error) throw Napi::Error(*listener->error);
        const Napi::Object result = progress_object(env, progress);
        result.Set("done", progress.done);
        result.Set("networkSeconds", progress.network_seconds);
        result.Set("emits", static_cast<double>(progress.emits));
        result.Set("guide", question_object(env, progress.guide));
        return result;
      });
}

Napi::Value execution_answer(const Napi::CallbackInfo& info) {
  return run_job(
      info.Env(), nullptr,
      [execution = unwrap<Execution>(info[0]), gradient = unwrap_tensor(info[1])] {
        execution->answer(gradient);
        return true;
      },
      [](Napi::Env env, bool) { return env.Undefined(); });
}

Napi::Value execution_read(const Napi::CallbackInfo& info) {
  const std::string which = text_of(info[1], "which");
  static const auto* const reads = new std::map<std::string, at::Tensor (Execution::*)() const>{
      {"x", &Execution::x}, {"clean", &Execution::clean}, {"guide", &Execution::guided}, {"output", &Execution::output}};
  const auto read = reads->find(which);
  DPM_CHECK(read != reads->end(), "DPM_INVALID_ARGUMENT", "Expected one of x, clean, guide, output for `which` but received \"" + which + "\".");
  return run_job(
      info.Env(), nullptr, [execution = unwrap<Execution>(info[0]), read = read->second] { return (*execution.*read)(); }, wrap_tensor);
}

}  // namespace

void export_executions(Napi::Env env, Napi::Object exports) {
  export_function(env, exports, "executionCreate", execution_create);
  export_function(env, exports, "executionAdvance", execution_advance);
  export_function(env, exports, "executionAnswer", execution_answer);
  export_function(env, exports, "executionRead", execution_read);
}

}  // namespace dpm
