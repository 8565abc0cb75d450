// The one thread of the process on which libtorch computes: first in, first out.
//
// Laws, each of which was a fault once:
// - It lives on the heap and is never destroyed: a static condition variable waits for its waiters in its destructor, so
//   process.exit() would hang.
// - OpenMP pools, grad mode, autocast and CUDA streams belong to a thread: a second thread would have a second pool.
// - When the process exits in the middle of a job, libtorch's static objects die under the job. So the last exit handler
//   to be registered looks first: if a job is running, the process ends there, with its status. A job that uses a part
//   of libtorch for the first time registers later ones, so it is ours again when Node says that it is about to exit.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>

namespace dpm {

class ComputeThread {
 public:
  static ComputeThread& instance();
  // The job must not throw.
  void post(std::function<void()> job);
  // From the thread that is about to call exit(): no further job begins. The running one, which the caller has cancelled,
  // is given a moment to end.
  void prepare_exit();
  // Jobs waiting or running.
  std::size_t load() const;

 private:
  ComputeThread();
  void run();
  static void at_exit(int status, void* self);

  mutable std::mutex mutex_;
  std::condition_variable wake_, idle_;
  std::deque<std::function<void()>> jobs_;
  bool running_ = false;
  bool exiting_ = false;
};

}  // namespace dpm
