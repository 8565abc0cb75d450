// JavaScript values as engine values, at this seam only.
#pragma once
#include <ATen/core/Tensor.h>
#include <napi.h>

#include <string>
#include <vector>

#include "settings.h"

namespace dpm {

std::vector<double> numbers_of(const Napi::Value& float64_array);
std::vector<std::int64_t> shape_of(const Napi::Value& array);
Settings settings_of(const Napi::Value& object);
// Int32Array or null → N int64 on the CPU, or an undefined tensor.
at::Tensor classes_of(const Napi::Value& int32_array);
// Float64Array → N float32 on the CPU.
at::Tensor labels_of(const Napi::Value& float64_array);
at::ScalarType dtype_of(const std::string& name);
const char* name_of(at::ScalarType dtype);
// Throws DPM_INVALID_ARGUMENT for a name that is no device and DPM_DEVICE_UNAVAILABLE for one that is not there.
at::Device device_of(const std::string& name);
Napi::Array to_javascript(Napi::Env env, at::IntArrayRef shape);

}  // namespace dpm
