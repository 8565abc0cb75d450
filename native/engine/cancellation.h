// A flag that JavaScript raises and native loops read between instructions and steps.
#pragma once
#include <atomic>
#include <memory>

#include "error.h"

namespace dpm {

class Cancellation {
 public:
  void request() { requested_.store(true, std::memory_order_relaxed); }
  bool requested() const { return requested_.load(std::memory_order_relaxed); }
  void throw_if_requested() const {
    if (requested()) throw Error("DPM_ABORTED", "The work was cancelled.");
  }

 private:
  std::atomic<bool> requested_{false};
};

using CancellationPointer = std::shared_ptr<Cancellation>;

}  // namespace dpm
