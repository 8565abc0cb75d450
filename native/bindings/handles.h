// JavaScript objects that own something native. Each is tagged with its kind, so that a foreign object is refused, and
// holds a shared pointer, so that a running job keeps what it uses after dispose().
#pragma once
#include <ATen/core/Tensor.h>
#include <napi.h>

#include <memory>
#include <string>

#include "cancellation.h"
#include "environment.h"
#include "error.h"
#include "execution.h"
#include "networks/network.h"
#include "pass.h"
#include "profile.h"
#include "training/training.h"

namespace dpm {

struct TensorBox {
  at::Tensor tensor;
};

enum class HandleKind : std::uint64_t { tensor = 1, network, pass, training, execution, cancellation, profile };

template <typename T>
struct HandleTraits;
template <>
struct HandleTraits<TensorBox> {
  static constexpr HandleKind kind = HandleKind::tensor;
  static constexpr const char* name = "tensor";
};
template <>
struct HandleTraits<WeightedNetwork> {
  static constexpr HandleKind kind = HandleKind::network;
  static constexpr const char* name = "network";
};
template <>
struct HandleTraits<GradientPass> {
  static constexpr HandleKind kind = HandleKind::pass;
  static constexpr const char* name = "pass";
};
template <>
struct HandleTraits<Training> {
  static constexpr HandleKind kind = HandleKind::training;
  static constexpr const char* name = "training";
};
template <>
struct HandleTraits<Execution> {
  static constexpr HandleKind kind = HandleKind::execution;
  static constexpr const char* name = "execution";
};
template <>
struct HandleTraits<Cancellation> {
  static constexpr HandleKind kind = HandleKind::cancellation;
  static constexpr const char* name = "cancellation";
};

template <>
struct HandleTraits<Profile> {
  static constexpr HandleKind kind = HandleKind::profile;
  static constexpr const char* name = "profile";
};

// What a handle object points to.
struct Holder {
  HandleKind kind;
  const char* name;
  std::shared_ptr<void> object;
  std::int64_t bytes;
  std::shared_ptr<Environment> environment;

  void release(Napi::Env env);
};

Napi::Value make_handle(Napi::Env env, HandleKind kind, const char* name, std::shared_ptr<void> object, std::int64_t bytes);
Holder& holder_of(const Napi::Value& value, const char* wanted);

template <typename T>
Napi::Value wrap(Napi::Env env, std::shared_ptr<T> object, std::int64_t bytes = 0) {
  return make_handle(env, HandleTraits<T>::kind, HandleTraits<T>::name, std::move(object), bytes);
}

Napi::Value wrap_tensor(Napi::Env env, const at::Tensor& tensor);

// Throws DPM_INVALID_ARGUMENT for another kind of value and DPM_DISPOSED after dispose().
template <typename T>
std::shared_ptr<T> unwrap(const Napi::Value& value) {
  Holder& holder = holder_of(value, HandleTraits<T>::name);
  DPM_CHECK(holder.kind == HandleTraits<T>::kind, "DPM_INVALID_ARGUMENT",
            std::string("Expected a ") + HandleTraits<T>::name + " but received a " + holder.name + ".");
  DPM_CHECK(holder.object, "DPM_DISPOSED", std::string("The ") + holder.name + " was used after dispose().");
  return std::static_pointer_cast<T>(holder.object);
}

at::Tensor unwrap_tensor(const Napi::Value& value);
// A tensor handle or null → the tensor, or an undefined one.
inline at::Tensor image_of(const Napi::Value& value) { return value.IsNull() || value.IsUndefined() ? at::Tensor() : unwrap_tensor(value); }

// null → nothing.
template <typename T>
std::shared_ptr<T> unwrap_optional(const Napi::Value& value) {
  return value.IsNull() || value.IsUndefined() ? nullptr : unwrap<T>(value);
}

// The flag that a job reads while it runs: the caller's, or one of its own, which the end of the environment raises.
inline CancellationPointer cancellation_of(const Napi::Value& value) {
  auto given = unwrap_optional<Cancellation>(value);
  return given ? given : std::make_shared<Cancellation>();
}

}  // namespace dpm
