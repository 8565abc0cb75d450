#include "environment.h"

#include <unistd.h>

#include "compute_thread.h"

namespace dpm {

std::shared_ptr<Environment> Environment::open(Napi::Env env) {
  std::shared_ptr<Environment> self(new Environment(env));
  const Napi::String name = Napi::String::New(env, "dpm-torch");
  const napi_status status =
      napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, nullptr, &Environment::call, &self->function_);
  if (status != napi_ok) throw Napi::Error::New(env, "The native event channel could not be opened.");
  napi_unref_threadsafe_function(env, self->function_);
  // Jobs share ownership; the environment's own share ends with this hook.
  auto* held = new std::shared_ptr<Environment>(self);
  env.SetInstanceData(held);
  env.AddCleanupHook(
      [](std::shared_ptr<Environment>* pointer) {
        (*pointer)->close();
        delete pointer;
      },
      new std::shared_ptr<Environment>(self));
  self->watch_exit();
  return self;
}

void Environment::watch_exit() {
  if (gettid() != getpid()) return;  // a worker's exit is not the process's
  const Napi::Env env(env_);
  const Napi::Value process = env.Global().Get("process");
  if (!process.IsObject()) return;
  const Napi::Value on = process.As<Napi::Object>().Get("on");
  if (!on.IsFunction()) return;
  const auto listener = [](const Napi::CallbackInfo& info) {
    Environment::of(info.Env()).cancel_jobs();
    ComputeThread::instance().prepare_exit();
  };
  on.As<Napi::Function>().Call(process, {Napi::String::New(env, "exit"), Napi::Function::New(env, listener)});
}

void Environment::cancel_jobs() {
  for (const CancellationPointer& cancellation : running_) cancellation->request();
}

Environment& Environment::of(Napi::Env env) { return **env.GetInstanceData<std::shared_ptr<Environment>>(); }

void Environment::deliver(Task task) {
  auto* data = new Task(std::move(task));
  const std::lock_guard lock(mutex_);
  if (closed_ || napi_call_threadsafe_function(function_, data, napi_tsfn_nonblocking) != napi_ok) {
    // The environment is gone. What the task holds of it must not be touched from here, so it is leaked: a promise's
    // converter, at most a few hundred bytes per job of a terminated worker.
    (void)data;
  }
}

void Environment::call(napi_env env, napi_value, void*, void* data) {
  std::unique_ptr<Task> task(static_cast<Task*>(data));
  if (env == nullptr) {
    (void)task.release();  // torn down: leaked for the same reason
    return;
  }
  const Napi::HandleScope scope(env);
  try {
    (*task)(env);
  } catch (const Napi::Error&) {
    // Only an environment that is being terminated refuses to settle a promise; nothing of it must come out here.
    (void)task.release();
  }
}

void Environment::job_begins(const CancellationPointer& cancellation) {
  running_.insert(cancellation);
  if (jobs_++ == 0) napi_ref_threadsafe_function(env_, function_);
}

void Environment::job_ends(const CancellationPointer& cancellation) {
  const auto found = running_.find(cancellation);
  if (found != running_.end()) running_.erase(found);
  if (--jobs_ == 0) napi_unref_threadsafe_function(env_, function_);
}

void Environment::close() {
  cancel_jobs();
  const std::lock_guard lock(mutex_);
  closed_ = true;
  napi_release_threadsafe_function(function_, napi_tsfn_abort);
}

}  // namespace dpm
