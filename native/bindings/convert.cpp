#include "convert.h"

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/ops/empty.h>

#include <cmath>
#include <cstdio>

#include "error.h"

namespace dpm {

namespace {

constexpr double kLargestWhole = 9007199254740991.0;  // 2^53 - 1

std::string describe(const Napi::Value& value) {
  switch (value.Type()) {
    case napi_undefined:
      return "undefined";
    case napi_null:
      return "null";
    case napi_boolean:
      return value.As<Napi::Boolean>().Value() ? "true" : "false";
    case napi_number: {
      char text[32];
      std::snprintf(text, sizeof text, "%.17g", value.As<Napi::Number>().DoubleValue());
      return text;
    }
    case napi_string:
      return "a string";
    case napi_function:
      return "a function";
    case napi_symbol:
      return "a symbol";
    case napi_bigint:
      return "a bigint";
    default:
      return value.IsArray() ? "a list" : value.IsTypedArray() ? "another typed array" : "an object";
  }
}

void check_kind(bool fits, const char* what, const char* name, const Napi::Value& value) {
  DPM_CHECK(fits, "DPM_INVALID_ARGUMENT", std::string("Expected ") + what + " for `" + name + "` but received " + describe(value) + ".");
}

bool is_whole(double number, double low, double high) { return number >= low && number <= high && number == std::floor(number); }

std::string range_text(double low, double high) {
  return "a whole number from " + std::to_string(static_cast<std::int64_t>(low)) + " to " + std::to_string(static_cast<std::int64_t>(high));
}

}  // namespace

double number_of(const Napi::Value& value, const char* name) {
  check_kind(value.IsNumber(), "a number", name, value);
  return value.As<Napi::Number>().DoubleValue();
}

double whole_of(const Napi::Value& value, const char* name, double low, double high) {
  const bool fits = value.IsNumber() && is_whole(value.As<Napi::Number>().DoubleValue(), low, high);
  check_kind(fits, range_text(low, high).c_str(), name, value);
  return value.As<Napi::Number>().DoubleValue();
}

double seed_of(const Napi::Value& value) { return whole_of(value, "seed", 0, kLargestWhole); }

double word_of(const Napi::Value& value, const char* name) { return whole_of(value, name, 0, 4294967295.0); }

std::string text_of(const Napi::Value& value, const char* name) {
  check_kind(value.IsString(), "a string", name, value);
  return value.As<Napi::String>().Utf8Value();
}

bool flag_of(const Napi::Value& value, const char* name) {
  check_kind(value.IsBoolean(), "true or false", name, value);
  return value.As<Napi::Boolean>().Value();
}

Napi::Object object_of(const Napi::Value& value, const char* name) {
  check_kind(value.IsObject(), "an object", name, value);
  return value.As<Napi::Object>();
}

Napi::Array list_of(const Napi::Value& value, const char* name) {
  check_kind(value.IsArray(), "a list", name, value);
  return value.As<Napi::Array>();
}

std::vector<double> numbers_of(const Napi::Value& value, const char* name) {
  check_kind(value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_float64_array, "a Float64Array", name, value);
  const auto array = value.As<Napi::Float64Array>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

std::vector<double> words_of(const Napi::Value& value, const char* name) {
  auto numbers = numbers_of(value, name);
  for (const double number : numbers) {
    DPM_CHECK(is_whole(number, 0, 4294967295.0), "DPM_INVALID_ARGUMENT",
              "Expected " + range_text(0, 4294967295.0) + " in `" + name + "` but received " + std::to_string(number) + ".");
  }
  return numbers;
}

std::vector<std::int64_t> shape_of(const Napi::Value& value) {
  const auto array = list_of(value, "shape");
  DPM_CHECK(array.Length() <= 64, "DPM_INVALID_ARGUMENT",
            "Expected at most 64 extents in a shape but received " + std::to_string(array.Length()) + ".");
  return entries_of(array, [](const Napi::Value& extent) { return static_cast<std::int64_t>(whole_of(extent, "shape", 0, kLargestWhole)); });
}

namespace {

// Of numbers, of strings or of settings; an empty list is one of numbers.
Settings::Value list_setting(const Napi::Array& array, const std::string& name, int depth) {
  const Napi::Value first = array.Length() > 0 ? array.Get(0u) : Napi::Value();
  if (!first.IsEmpty() && first.IsString()) {
    return entries_of(array, [&](const Napi::Value& entry) { return text_of(entry, name.c_str()); });
  }
  if (!first.IsEmpty() && first.IsObject()) {
    return entries_of(array, [&](const Napi::Value& entry) -> std::shared_ptr<const Settings> {
      return std::make_shared<const Settings>(settings_of(entry, depth));
    });
  }
  return entries_of(array, [&](const Napi::Value& entry) { return number_of(entry, name.c_str()); });
}

}  // namespace

Settings settings_of(const Napi::Value& value, int depth) {
  const auto object = object_of(value, "settings");
  DPM_CHECK(depth < 8, "DPM_INVALID_ARGUMENT", "Settings nest too deep for native code.");
  Settings settings;
  const Napi::Array names = object.GetPropertyNames();
  const std::uint32_t count = names.Length();
  for (std::uint32_t i = 0; i < count; ++i) {
    const Napi::Value key = names.Get(i);
    if (!key.IsString()) continue;
    const std::string name = key.As<Napi::String>();
    const Napi::Value field = object.Get(name);
    if (field.IsNumber()) {
      settings.set(name, field.As<Napi::Number>().DoubleValue());
    } else if (field.IsString()) {
      settings.set(name, field.As<Napi::String>().Utf8Value());
    } else if (field.IsBoolean()) {
      settings.set(name, field.As<Napi::Boolean>().Value());
    } else if (field.IsArray()) {
      settings.set(name, list_setting(field.As<Napi::Array>(), name, depth + 1));
    } else if (field.IsObject()) {
      settings.set(name, std::make_shared<const Settings>(settings_of(field, depth + 1)));
    } else {
      throw Error("DPM_INVALID_ARGUMENT", "The native setting `" + name + "` has a type that native code does not take.");
    }
  }
  return settings;
}

at::Tensor classes_of(const Napi::Value& value) {
  if (value.IsNull() || value.IsUndefined()) return {};
  check_kind(value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_int32_array, "an Int32Array or null", "classes", value);
  const auto array = value.As<Napi::Int32Array>();
  at::Tensor classes = at::empty({static_cast<std::int64_t>(array.ElementLength())}, at::kLong);
  auto* out = classes.mutable_data_ptr<std::int64_t>();
  for (std::size_t i = 0; i < array.ElementLength(); ++i) out[i] = array.Data()[i];
  return classes;
}

at::Tensor labels_of(const Napi::Value& value) {
  const auto numbers = numbers_of(value, "labels");
  at::Tensor labels = at::empty({static_cast<std::int64_t>(numbers.size())}, at::kFloat);
  auto* out = labels.mutable_data_ptr<float>();
  for (std::size_t i = 0; i < numbers.size(); ++i) out[i] = static_cast<float>(numbers[i]);
  return labels;
}

namespace {
struct NamedType {
  const char* name;
  at::ScalarType type;
};
constexpr NamedType kTypes[] = {{"float32", at::kFloat}, {"float64", at::kDouble}, {"bfloat16", at::kBFloat16},
                                {"float16", at::kHalf},  {"uint8", at::kByte},     {"int64", at::kLong}};
}  // namespace

at::ScalarType dtype_of(const std::string& name) {
  for (const NamedType& entry : kTypes) {
    if (name == entry.name) return entry.type;
  }
  throw Error("DPM_INVALID_ARGUMENT", "Expected one of float32, float64, bfloat16, float16, uint8, int64 for `dtype` but received \"" + name + "\".");
}

const char* name_of(at::ScalarType dtype) {
  for (const NamedType& entry : kTypes) {
    if (dtype == entry.type) return entry.name;
  }
  return "other";
}

at::Device device_of(const std::string& name) {
  const bool numbered =
      name.rfind("cuda:", 0) == 0 && name.size() <= 8 && name.size() > 5 && name.find_first_not_of("0123456789", 5) == std::string::npos;
  DPM_CHECK(name == "cpu" || name == "cuda" || numbered, "DPM_INVALID_ARGUMENT",
            "Expected cpu, cuda or cuda:N for `device` but received \"" + name + "\".");
  if (name == "cpu") return at::Device(at::kCPU);
  const int count = at::hasCUDA() ? at::detail::getCUDAHooks().deviceCount() : 0;
  DPM_CHECK(count > 0, "DPM_DEVICE_UNAVAILABLE",
            "The device \"" + name + "\" was asked for but no CUDA device was found. Use `device: 'cpu'`, or run `npx dpm-torch doctor` to see why.");
  const int index = numbered ? std::stoi(name.substr(5)) : 0;
  DPM_CHECK(index < count, "DPM_DEVICE_UNAVAILABLE",
            "The device \"" + name + "\" was asked for but the last one is \"cuda:" + std::to_string(count - 1) + "\".");
  return at::Device(at::kCUDA, static_cast<at::DeviceIndex>(index));
}

Napi::Array to_javascript(Napi::Env env, at::IntArrayRef shape) {
  Napi::Array array = Napi::Array::New(env, shape.size());
  for (std::size_t i = 0; i < shape.size(); ++i) array.Set(static_cast<std::uint32_t>(i), static_cast<double>(shape[i]));
  return array;
}

}  // namespace dpm
