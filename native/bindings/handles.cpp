#include "handles.h"

namespace dpm {
namespace {

// Random, fixed: tells our objects from every other addon's.
constexpr napi_type_tag kTag = {0x6f1d5c0a2b9e4d71ULL, 0x9c37a8e05d12f4b6ULL};

std::int64_t& counter_of(Environment::Ledger& ledger, HandleKind kind) {
  switch (kind) {
    case HandleKind::tensor:
      return ledger.tensors;
    case HandleKind::network:
      return ledger.networks;
    default:
      return ledger.others;
  }
}

}  // namespace

void Holder::release(Napi::Env env) {
  if (!object) return;
  object.reset();
  --counter_of(environment->ledger, kind);
  environment->ledger.bytes -= bytes;
  // V8 must know what it can win by collecting.
  if (bytes > 0) Napi::MemoryManagement::AdjustExternalMemory(env, -bytes);
}

Napi::Value make_handle(Napi::Env env, HandleKind kind, const char* name, std::shared_ptr<void> object, std::int64_t bytes) {
  auto* holder = new Holder{kind, name, std::move(object), bytes, Environment::of(env).shared_from_this()};
  ++counter_of(holder->environment->ledger, kind);
  holder->environment->ledger.bytes += bytes;
  if (bytes > 0) Napi::MemoryManagement::AdjustExternalMemory(env, bytes);
  const Napi::Object handle = Napi::Object::New(env);
  const napi_status status = napi_wrap(
      env, handle, holder,
      [](napi_env finalizer_env, void* data, void*) {
        std::unique_ptr<Holder> owned(static_cast<Holder*>(data));
        owned->release(finalizer_env);
      },
      nullptr, nullptr);
  if (status != napi_ok) {
    std::unique_ptr<Holder>(holder)->release(env);
    throw Napi::Error::New(env);
  }
  if (napi_type_tag_object(env, handle, &kTag) != napi_ok) throw Napi::Error::New(env);
  return handle;
}

Holder& holder_of(const Napi::Value& value, const char* wanted) {
  bool ours = false;
  if (value.IsObject()) napi_check_object_type_tag(value.Env(), value, &kTag, &ours);
  DPM_CHECK(ours, "DPM_INVALID_ARGUMENT", std::string("Expected a ") + wanted + " of dpm-torch but received something else.");
  void* data = nullptr;
  // Fails in an environment that is being terminated, where JavaScript still runs for a moment.
  const napi_status status = napi_unwrap(value.Env(), value, &data);
  DPM_CHECK(status == napi_ok && data != nullptr, "DPM_ABORTED", "This thread is being ended.");
  return *static_cast<Holder*>(data);
}

Napi::Value wrap_tensor(Napi::Env env, const at::Tensor& tensor) {
  const auto bytes = static_cast<std::int64_t>(tensor.nbytes());
  return wrap(env, std::make_shared<TensorBox>(TensorBox{tensor}), bytes);
}

at::Tensor unwrap_tensor(const Napi::Value& value) { return unwrap<TensorBox>(value)->tensor; }

}  // namespace dpm
