// Tensors at the boundary: row-major bytes in and out.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <cstring>

#include "bindings.h"
#include "convert.h"
#include "handles.h"
#include "job.h"
#include "ops/launch.h"

namespace dpm {
namespace {

Napi::Value tensor_create(const Napi::CallbackInfo& info) {
  DPM_CHECK(info[0].IsTypedArray() && info[0].As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array, "DPM_INVALID_ARGUMENT",
            "Expected a Uint8Array over the tensor's bytes.");
  const auto bytes = info[0].As<Napi::Uint8Array>();
  const auto shape = shape_of(info[1]);
  const at::Tensor tensor = at::empty(shape, at::TensorOptions().dtype(dtype_of(info[2].ToString())));
  DPM_CHECK(tensor.nbytes() == bytes.ByteLength(), "DPM_INVALID_ARGUMENT",
            "Expected " + std::to_string(tensor.nbytes()) + " bytes for this shape but received " + std::to_string(bytes.ByteLength()) + ".");
  if (tensor.nbytes() > 0) std::memcpy(tensor.mutable_data_ptr(), bytes.Data(), tensor.nbytes());
  return wrap_tensor(info.Env(), tensor);
}

Napi::Value tensor_info(const Napi::CallbackInfo& info) {
  const at::Tensor tensor = unwrap_tensor(info[0]);
  const Napi::Object result = Napi::Object::New(info.Env());
  result.Set("shape", to_javascript(info.Env(), tensor.sizes()));
  result.Set("dtype", name_of(tensor.scalar_type()));
  result.Set("device", tensor.device().str());
  return result;
}

Napi::Value tensor_data(const Napi::CallbackInfo& info) {
  return run_job(
      info.Env(), nullptr,
      [tensor = unwrap_tensor(info[0])] {
        const at::NoGradGuard no_grad;
        return tensor.to(at::kCPU).contiguous();
      },
      [](Napi::Env env, const at::Tensor& tensor) {
        Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(env, tensor.nbytes());
        if (tensor.nbytes() > 0) std::memcpy(buffer.Data(), tensor.const_data_ptr(), tensor.nbytes());
        return buffer;
      });
}

Napi::Value tensor_convert(const Napi::CallbackInfo& info) {
  return run_job(
      info.Env(), nullptr,
      [tensor = unwrap_tensor(info[0]), dtype = dtype_of(info[1].ToString()), device = info[2].ToString().Utf8Value()] {
        const at::NoGradGuard no_grad;
        return tensor.to(device_of(device), dtype, false, true);
      },
      wrap_tensor);
}

Napi::Value random_normal(const Napi::CallbackInfo& info) {
  const double seed = info[0].ToNumber(), purpose = info[1].ToNumber(), step = info[2].ToNumber();
  auto examples = numbers_of(info[3]);
  auto shape = shape_of(info[4]);
  DPM_CHECK(!shape.empty() && shape[0] == static_cast<std::int64_t>(examples.size()), "DPM_INVALID_ARGUMENT",
            "Expected one example key per row of the shape.");
  return run_job(
      info.Env(), nullptr,
      [=, device_name = info[5].ToString().Utf8Value()] {
        const at::Device device = device_of(device_name);
        const at::Tensor out = at::empty(shape, at::TensorOptions().dtype(at::kFloat).device(device));
        const std::int64_t size = examples.empty() ? 0 : out.numel() / shape[0];
        launch_normals(device, {out.mutable_data_ptr<float>(), examples.data(), shape[0], 1, size, key_of(seed), static_cast<std::uint32_t>(purpose),
                                static_cast<std::uint32_t>(step), false});
        return out;
      },
      wrap_tensor);
}

}  // namespace

void export_tensors(Napi::Env env, Napi::Object exports) {
  export_function(env, exports, "tensorCreate", tensor_create);
  export_function(env, exports, "tensorInfo", tensor_info);
  export_function(env, exports, "tensorData", tensor_data);
  export_function(env, exports, "tensorConvert", tensor_convert);
  export_function(env, exports, "randomNormal", random_normal);
}

}  // namespace dpm
