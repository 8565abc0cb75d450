// JavaScript values as engine values, at this seam only.
#pragma once
#include <ATen/core/Tensor.h>
#include <napi.h>

#include <string>
#include <vector>

#include "settings.h"

namespace dpm {

// Each reads one argument or field of the name, converts nothing (no toString, no valueOf), and throws DPM_INVALID_ARGUMENT
// for another type or range. Reading a value runs no JavaScript. Reading an entry of a list or a field of an object may: a
// getter, a trap. It may then shrink, detach or dispose of whatever the call was given, so nothing is taken from a typed
// array before it and used after it, and a list's length is read once.
double number_of(const Napi::Value& value, const char* name);
// A whole number from `low` to `high`, both at most 2^53 - 1.
double whole_of(const Napi::Value& value, const char* name, double low, double high);
// Seeds are whole numbers below 2^53, all other words of a random number's counter below 2^32.
double seed_of(const Napi::Value& value);
double word_of(const Napi::Value& value, const char* name);
std::string text_of(const Napi::Value& value, const char* name);
bool flag_of(const Napi::Value& value, const char* name);
Napi::Object object_of(const Napi::Value& value, const char* name);
Napi::Array list_of(const Napi::Value& value, const char* name);
// What `read` makes of each entry. JavaScript runs, which may change the list: it is as long as it was at the start.
template <typename Read>
auto entries_of(const Napi::Array& list, Read read) {
  std::vector<decltype(read(Napi::Value()))> entries;
  const std::uint32_t length = list.Length();
  for (std::uint32_t i = 0; i < length; ++i) entries.push_back(read(list.Get(i)));
  return entries;
}
std::vector<double> numbers_of(const Napi::Value& float64_array, const char* name);
// The same, each a word of a random number's counter.
std::vector<double> words_of(const Napi::Value& float64_array, const char* name);
std::vector<std::int64_t> shape_of(const Napi::Value& array);
// Settings nest at most 8 deep.
Settings settings_of(const Napi::Value& object, int depth = 0);
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
