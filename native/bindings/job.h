// Turns a lambda into a promise: the lambda runs on the compute thread, its result is converted on the JavaScript thread.
#pragma once
#include <napi.h>

#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "cancellation.h"
#include "compute_thread.h"
#include "environment.h"
#include "error.h"

namespace dpm {

inline Napi::Error to_javascript(Napi::Env env, const Failure& failure) {
  Napi::Error error = Napi::Error::New(env, failure.message);
  error.Set("code", failure.code);
  if (!failure.native_stack.empty()) error.Set("nativeStack", failure.native_stack);
  return error;
}

// Runs `body` on the JavaScript thread, its C++ exceptions becoming JavaScript ones.
template <typename Body>
auto translated(Napi::Env env, Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw to_javascript(env, describe_current_exception());
  }
}

// `work()` runs on the compute thread and must hold all that it needs by value or shared pointer; `convert(env, result)`
// makes the promise's value. A job cancelled before it starts does not start.
template <typename Work, typename Convert>
Napi::Value run_job(Napi::Env env, CancellationPointer cancellation, Work work, Convert convert) {
  using Result = std::invoke_result_t<Work&>;
  struct State {
    State(Napi::Env env, Work w, Convert c) : deferred(Napi::Promise::Deferred::New(env)), work(std::move(w)), convert(std::move(c)) {}
    Napi::Promise::Deferred deferred;
    std::optional<Work> work;
    Convert convert;
    std::optional<Result> result;
    Failure failure;
  };
  if (!cancellation) cancellation = std::make_shared<Cancellation>();
  auto state = std::make_shared<State>(env, std::move(work), std::move(convert));
  auto environment = Environment::of(env).shared_from_this();
  environment->job_begins(cancellation);
  const Napi::Promise promise = state->deferred.Promise();
  ComputeThread::instance().post([state, environment, cancellation]() mutable {
    try {
      cancellation->throw_if_requested();
      state->result.emplace((*state->work)());
    } catch (...) {
      state->failure = describe_current_exception();
    }
    state->work.reset();  // tensors held by the job go as soon as it ends
    Environment& destination = *environment;
    destination.deliver([state = std::move(state), environment = std::move(environment), cancellation = std::move(cancellation)](Napi::Env env) {
      environment->job_ends(cancellation);
      if (!state->result) return state->deferred.Reject(to_javascript(env, state->failure).Value());
      try {
        state->deferred.Resolve(state->convert(env, *state->result));
      } catch (const Napi::Error& error) {
        state->deferred.Reject(error.Value());
      } catch (...) {
        state->deferred.Reject(to_javascript(env, describe_current_exception()).Value());
      }
    });
  });
  return promise;
}

}  // namespace dpm
