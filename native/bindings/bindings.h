// Every function that JavaScript can call, by file. lib/native/binding.ts has their types; the two lists are compared by
// test/native/surface.test.ts.
#pragma once
#include <napi.h>

namespace dpm {

void export_process(Napi::Env env, Napi::Object exports);
void export_tensors(Napi::Env env, Napi::Object exports);
void export_kernels(Napi::Env env, Napi::Object exports);
void export_layer_alone(Napi::Env env, Napi::Object exports);
void export_kernel_alone(Napi::Env env, Napi::Object exports);
void export_networks(Napi::Env env, Napi::Object exports);
void export_training(Napi::Env env, Napi::Object exports);
void export_profiles(Napi::Env env, Napi::Object exports);
void export_executions(Napi::Env env, Napi::Object exports);

// Adds one function; its C++ exceptions become JavaScript errors with a code.
void export_function(Napi::Env env, Napi::Object exports, const char* name, Napi::Value (*body)(const Napi::CallbackInfo&));

}  // namespace dpm
