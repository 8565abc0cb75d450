#include "compute_thread.h"

#include <pthread.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace dpm {

ComputeThread& ComputeThread::instance() {
  static ComputeThread* const thread = new ComputeThread;
  return *thread;
}

ComputeThread::ComputeThread() {
  std::thread([this] { run(); }).detach();
}

void ComputeThread::post(std::function<void()> job) {
  const std::lock_guard lock(mutex_);
  jobs_.push_back(std::move(job));
  wake_.notify_one();
}

std::size_t ComputeThread::load() const {
  const std::lock_guard lock(mutex_);
  return jobs_.size() + (running_ ? 1 : 0);
}

void ComputeThread::run() {
  pthread_setname_np(pthread_self(), "dpm-compute");
  std::size_t count = 0;
  for (;;) {
    std::function<void()> job;
    {
      std::unique_lock lock(mutex_);
      running_ = false;
      idle_.notify_all();
      wake_.wait(lock, [this] { return !jobs_.empty() && !exiting_; });
      job = std::move(jobs_.front());
      jobs_.pop_front();
      running_ = true;
    }
    job();
    job = nullptr;
#ifdef __GLIBC__
    // Exit handlers run last in, first out, and libtorch registers some on first use: so ours is registered again, at
    // job 1, 2, 4, 8 …
    ++count;
    if ((count & (count - 1)) == 0) on_exit(&ComputeThread::at_exit, this);
#endif
  }
}

void ComputeThread::prepare_exit() {
  std::unique_lock lock(mutex_);
  exiting_ = true;
  idle_.wait_for(lock, std::chrono::milliseconds(100), [this] { return !running_; });
#ifdef __GLIBC__
  on_exit(&ComputeThread::at_exit, this);
#endif
}

void ComputeThread::at_exit(int status, void* self) {
  auto* thread = static_cast<ComputeThread*>(self);
  const std::lock_guard lock(thread->mutex_);
  thread->exiting_ = true;
  if (!thread->running_) return;
  std::fflush(nullptr);
  _exit(status);
}

}  // namespace dpm
