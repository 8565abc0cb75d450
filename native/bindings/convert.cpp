#include "convert.h"

#include <ATen/Context.h>
#include <ATen/ops/empty.h>

#include <cstring>

#include "error.h"

namespace dpm {

std::vector<double> numbers_of(const Napi::Value& value) {
  DPM_CHECK(value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_float64_array, "DPM_INVALID_ARGUMENT",
            "Expected a Float64Array.");
  const auto array = value.As<Napi::Float64Array>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

std::vector<std::int64_t> shape_of(const Napi::Value& value) {
  DPM_CHECK(value.IsArray(), "DPM_INVALID_ARGUMENT", "Expected a shape: a list of whole numbers.");
  const auto array = value.As<Napi::Array>();
  std::vector<std::int64_t> shape;
  for (std::uint32_t i = 0; i < array.Length(); ++i) {
    const double extent = array.Get(i).ToNumber().DoubleValue();
    DPM_CHECK(extent >= 0 && extent == static_cast<double>(static_cast<std::int64_t>(extent)), "DPM_INVALID_ARGUMENT",
              "Expected whole numbers of at least 0 in a shape but received " + std::to_string(extent) + ".");
    shape.push_back(static_cast<std::int64_t>(extent));
  }
  return shape;
}

Settings settings_of(const Napi::Value& value) {
  DPM_CHECK(value.IsObject(), "DPM_INVALID_ARGUMENT", "Expected settings: an object.");
  const auto object = value.As<Napi::Object>();
  Settings settings;
  const Napi::Array names = object.GetPropertyNames();
  for (std::uint32_t i = 0; i < names.Length(); ++i) {
    const std::string name = names.Get(i).ToString();
    const Napi::Value field = object.Get(name);
    if (field.IsNumber()) {
      settings.set(name, field.As<Napi::Number>().DoubleValue());
    } else if (field.IsString()) {
      settings.set(name, field.As<Napi::String>().Utf8Value());
    } else if (field.IsBoolean()) {
      settings.set(name, field.As<Napi::Boolean>().Value());
    } else if (field.IsArray()) {
      std::vector<double> list;
      const auto array = field.As<Napi::Array>();
      for (std::uint32_t k = 0; k < array.Length(); ++k) list.push_back(array.Get(k).ToNumber().DoubleValue());
      settings.set(name, std::move(list));
    } else if (field.IsObject()) {
      settings.set(name, std::make_shared<const Settings>(settings_of(field)));
    } else {
      throw Error("DPM_INVALID_ARGUMENT", "The native setting `" + name + "` has a type that native code does not take.");
    }
  }
  return settings;
}

at::Tensor classes_of(const Napi::Value& value) {
  if (value.IsNull() || value.IsUndefined()) return {};
  DPM_CHECK(value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_int32_array, "DPM_INVALID_ARGUMENT",
            "Expected an Int32Array of classes, or null.");
  const auto array = value.As<Napi::Int32Array>();
  at::Tensor classes = at::empty({static_cast<std::int64_t>(array.ElementLength())}, at::kLong);
  auto* out = classes.mutable_data_ptr<std::int64_t>();
  for (std::size_t i = 0; i < array.ElementLength(); ++i) out[i] = array.Data()[i];
  return classes;
}

at::Tensor labels_of(const Napi::Value& value) {
  const auto numbers = numbers_of(value);
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
constexpr NamedType kTypes[] = {{"float32", at::kFloat},     {"float64", at::kDouble}, {"bfloat16", at::kBFloat16},
                                {"float16", at::kHalf}, {"uint8", at::kByte},     {"int64", at::kLong}};
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
  DPM_CHECK(name == "cpu" || name == "cuda" || name.rfind("cuda:", 0) == 0, "DPM_INVALID_ARGUMENT",
            "Expected cpu, cuda or cuda:N for `device` but received \"" + name + "\".");
  if (name == "cpu") return at::Device(at::kCPU);
  DPM_CHECK(at::hasCUDA(), "DPM_DEVICE_UNAVAILABLE",
            "The device \"" + name + "\" was asked for but no CUDA device was found. Use `device: 'cpu'`, or run `npx dpm-torch doctor` to see why.");
  const at::Device device = name == "cuda" ? at::Device(at::kCUDA, 0) : at::Device(name);
  return device;
}

Napi::Array to_javascript(Napi::Env env, at::IntArrayRef shape) {
  Napi::Array array = Napi::Array::New(env, shape.size());
  for (std::size_t i = 0; i < shape.size(); ++i) array.Set(static_cast<std::uint32_t>(i), static_cast<double>(shape[i]));
  return array;
}

}  // namespace dpm
