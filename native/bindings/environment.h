// One JavaScript environment (the main thread's, or a worker's) that uses the addon.
//
// Laws, each of which was a fault once:
// - The environment may die while its jobs run (worker.terminate()). What the compute thread then delivers is dropped,
//   and nothing of the dead environment is touched: no handle, no reference, no promise.
// - Jobs keep the event loop alive, an idle addon does not.
// - What holds a JavaScript reference is destroyed on the JavaScript thread only.
#pragma once
#include <napi.h>

#include <functional>
#include <memory>
#include <mutex>
#include <unordered_set>

#include "cancellation.h"

namespace dpm {

class Environment : public std::enable_shared_from_this<Environment> {
 public:
  static std::shared_ptr<Environment> open(Napi::Env env);
  static Environment& of(Napi::Env env);

  using Task = std::function<void(Napi::Env)>;
  // From any thread: runs the task on the JavaScript thread, or drops it when the environment is gone.
  void deliver(Task task);

  // On the JavaScript thread, around the life of a job.
  void job_begins(const CancellationPointer& cancellation);
  void job_ends(const CancellationPointer& cancellation);
  std::size_t jobs() const { return jobs_; }

  // Live handles of this environment, by kind, and the bytes of its tensors.
  struct Ledger {
    std::int64_t tensors = 0, networks = 0, others = 0, bytes = 0;
  } ledger;

 private:
  explicit Environment(Napi::Env env) : env_(env) {}
  void close();
  void cancel_jobs();
  // process.exit() runs no cleanup hook in the main thread, so its 'exit' event is where jobs are stopped.
  void watch_exit();
  static void call(napi_env env, napi_value callback, void* context, void* data);

  napi_env env_;
  std::mutex mutex_;  // guards function_ and closed_
  napi_threadsafe_function function_ = nullptr;
  bool closed_ = false;
  std::size_t jobs_ = 0;
  std::unordered_multiset<CancellationPointer> running_;
};

}  // namespace dpm
