// The core's one exported symbol: called by the entry addon, once per JavaScript environment.
#include <napi.h>

#include "bindings.h"
#include "environment.h"
#include "job.h"

namespace dpm {

void export_function(Napi::Env env, Napi::Object exports, const char* name, Napi::Value (*body)(const Napi::CallbackInfo&)) {
  exports.Set(name, Napi::Function::New(
                        env,
                        [body](const Napi::CallbackInfo& info) {
                          const Napi::Env env = info.Env();
                          try {
                            return translated(env, [&] { return body(info); });
                          } catch (const Napi::Error& error) {
                            // Not left to node-addon-api: an environment that is being terminated refuses to throw, too,
                            // and that must not end the process.
                            bool pending = false;
                            if (napi_is_exception_pending(env, &pending) == napi_ok && !pending) napi_throw(env, error.Value());
                            return Napi::Value();
                          }
                        },
                        name));
}

}  // namespace dpm

extern "C" __attribute__((visibility("default"))) napi_value dpm_core_init(napi_env raw_env, napi_value raw_exports) {
  const Napi::Env env(raw_env);
  const Napi::Object exports(env, raw_exports);
  try {
    dpm::Environment::open(env);
    dpm::export_process(env, exports);
    dpm::export_tensors(env, exports);
    dpm::export_kernels(env, exports);
    dpm::export_layer_alone(env, exports);
    dpm::export_kernel_alone(env, exports);
    dpm::export_networks(env, exports);
    dpm::export_training(env, exports);
    dpm::export_profiles(env, exports);
    dpm::export_executions(env, exports);
    return exports;
  } catch (const Napi::Error& error) {
    error.ThrowAsJavaScriptException();
  } catch (...) {
    dpm::to_javascript(env, dpm::describe_current_exception()).ThrowAsJavaScriptException();
  }
  return nullptr;
}
