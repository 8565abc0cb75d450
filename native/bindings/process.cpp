// The process as a whole: version, memory, threads, devices, cancellation.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include "bindings.h"
#include "compute_thread.h"
#include "convert.h"
#include "handles.h"
#include "job.h"
#include "version.h"

namespace dpm {
namespace {

Napi::Value version(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Napi::Object result = Napi::Object::New(env);
  result.Set("core", core_version());
  result.Set("libtorch", libtorch_version());
  result.Set("capability", cpu_capability());
  result.Set("multipliesBfloat16", multiplies_bfloat16());
  result.Set("threads", at::get_num_threads());
  return result;
}

Napi::Value memory(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Environment& environment = Environment::of(env);
  const Napi::Object result = Napi::Object::New(env);
  result.Set("tensors", static_cast<double>(environment.ledger.tensors));
  result.Set("networks", static_cast<double>(environment.ledger.networks));
  result.Set("others", static_cast<double>(environment.ledger.others));
  result.Set("bytes", static_cast<double>(environment.ledger.bytes));
  result.Set("jobs", static_cast<double>(environment.jobs()));
  return result;
}

Napi::Value set_threads(const Napi::CallbackInfo& info) {
  const int count = static_cast<int>(whole_of(info[0], "threads", 1, 1024));
  return run_job(
      info.Env(), nullptr,
      [count] {
        at::set_num_threads(count);
        return true;
      },
      [](Napi::Env env, bool) { return env.Undefined(); });
}

Napi::Value cuda_device_count(const Napi::CallbackInfo& info) {
  return run_job(
      info.Env(), nullptr, [] { return at::hasCUDA() ? at::detail::getCUDAHooks().deviceCount() : 0; },
      [](Napi::Env env, int count) { return Napi::Number::New(env, count); });
}

Napi::Value cancellation_create(const Napi::CallbackInfo& info) { return wrap(info.Env(), std::make_shared<Cancellation>()); }

Napi::Value cancel(const Napi::CallbackInfo& info) {
  unwrap<Cancellation>(info[0])->request();
  return info.Env().Undefined();
}

Napi::Value dispose(const Napi::CallbackInfo& info) {
  holder_of(info[0], "handle").release(info.Env());
  return info.Env().Undefined();
}

}  // namespace

void export_process(Napi::Env env, Napi::Object exports) {
  export_function(env, exports, "version", version);
  export_function(env, exports, "memory", memory);
  export_function(env, exports, "setThreads", set_threads);
  export_function(env, exports, "cudaDeviceCount", cuda_device_count);
  export_function(env, exports, "cancellationCreate", cancellation_create);
  export_function(env, exports, "cancel", cancel);
  export_function(env, exports, "dispose", dispose);
}

}  // namespace dpm
