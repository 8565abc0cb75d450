// Tensors at the boundary: row-major bytes in and out.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstring>

#include "bindings.h"
#include "convert.h"
#include "handles.h"
#include "job.h"
#include "ops/launch.h"

namespace dpm {
namespace {

// Throws DPM_INVALID_ARGUMENT when the size of the tensor does not fit 63 bits.
std::int64_t byte_count(const std::vector<std::int64_t>& shape, at::ScalarType dtype) {
  auto size = static_cast<std::int64_t>(at::elementSize(dtype));
  bool overflows = false;
  for (const std::int64_t extent : shape) overflows = __builtin_mul_overflow(size, std::max<std::int64_t>(extent, 1), &size) || overflows;
  DPM_CHECK(!overflows, "DPM_INVALID_ARGUMENT", "Expected a shape of fewer than 2^63 bytes.");
  for (const std::int64_t extent : shape) {
    if (extent == 0) return 0;
  }
  return size;
}

Napi::Value tensor_create(const Napi::CallbackInfo& info) {
  const bool bytes_given = info[0].IsTypedArray() && info[0].As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array;
  DPM_CHECK(bytes_given, "DPM_INVALID_ARGUMENT", "Expected a Uint8Array over the tensor's bytes.");
  const auto shape = shape_of(info[1]);
  const at::ScalarType dtype = dtype_of(text_of(info[2], "dtype"));
  // Last, for reading the shape may have run JavaScript, which may have shrunk or detached the buffer.
  const auto bytes = info[0].As<Napi::Uint8Array>();
  // Before anything is allocated: the shape may be far beyond memory.
  const std::int64_t size = byte_count(shape, dtype);
  DPM_CHECK(size == static_cast<std::int64_t>(bytes.ByteLength()), "DPM_INVALID_ARGUMENT",
            "Expected " + std::to_string(size) + " bytes for this shape but received " + std::to_string(bytes.ByteLength()) + ".");
  const at::Tensor tensor = at::empty(shape, at::TensorOptions().dtype(dtype));
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
      [tensor = unwrap_tensor(info[0]), dtype = dtype_of(text_of(info[1], "dtype")), device = text_of(info[2], "device")] {
        const at::NoGradGuard no_grad;
        return tensor.to(device_of(device), dtype, false, true);
      },
      wrap_tensor);
}

Napi::Value random_normal(const Napi::CallbackInfo& info) {
  const double seed = seed_of(info[0]), purpose = word_of(info[1], "purpose"), step = word_of(info[2], "step");
  auto examples = words_of(info[3], "examples");
  auto shape = shape_of(info[4]);
  DPM_CHECK(!shape.empty() && shape[0] == static_cast<std::int64_t>(examples.size()), "DPM_INVALID_ARGUMENT",
            "Expected one example key per row of the shape.");
  byte_count(shape, at::kFloat);
  return run_job(
      info.Env(), nullptr,
      [=, device_name = text_of(info[5], "device")] {
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
