// Where the time of a job goes: every operation of libtorch, and every kernel of ours that is marked, as libtorch's
// observers see them. What is not inside a ProfileScope is not recorded, and a mark there costs a tenth of a microsecond.
#pragma once
#include <ATen/core/Tensor.h>
#include <ATen/record_function.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <chrono>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace dpm {

// Marks a kernel of ours, for as long as it lives, with what it reads and writes; all of it is there already.
class Operation {
 public:
  // Written out in braces, or a list of tensors; neither is copied where nothing is recorded.
  struct Tensors {
    using Few = std::initializer_list<std::reference_wrapper<const at::Tensor>>;
    Tensors(Few tensors) : few(tensors) {}
    Tensors(const std::vector<at::Tensor>& tensors) : many(tensors) {}
    Few few;
    at::ArrayRef<at::Tensor> many;
  };
  Operation(const char* name, const Tensors& read, const Tensors& written) {
    if (record_.isActive()) begin(name, read, written);
  }

 private:
  void begin(const char* name, const Tensors& read, const Tensors& written);
  at::RecordFunction record_;
};

// Parts of a training step; an evaluation of a network is all `forward`.
enum class Phase { forward, backward, update };

class Profile : public c10::MemoryReportingInfoBase {
 public:
  struct Operand {
    std::vector<std::int64_t> shape;
    std::optional<at::ScalarType> type;  // of what is there: an absent tensor has none
  };
  // Calls of one operation with tensors of the same shapes and types in one phase.
  struct Entry {
    std::string name;
    Phase phase;
    std::vector<Operand> inputs, outputs;
    std::int64_t calls = 0;
    // Without the operations inside: their time, and what they have read or written of the same memory. A view moves nothing.
    double seconds = 0;
    double bytes_read = 0, bytes_written = 0;
  };
  struct Report {
    std::vector<Entry> entries;
    std::int64_t runs = 0;        // scopes that have ended
    double seconds = 0;           // of all runs
    double overhead = 0;          // of these, what recording took; no operation counts it
    std::int64_t peak_bytes = 0;  // most that tensors of a run held beyond what was held when it began
  };

  Report report() const;

  void reportMemoryUsage(void* memory, std::int64_t size, std::size_t allocated, std::size_t reserved, c10::Device device) override;
  bool memoryProfilingEnabled() const override { return true; }

 private:
  friend class ProfileScope;
  friend class PhaseScope;
  struct Frame;
  using Clock = std::chrono::steady_clock;

  static Profile* current();
  static std::unique_ptr<at::ObserverContext> started(const at::RecordFunction& record);
  static void ended(const at::RecordFunction& record, at::ObserverContext* context);
  void run_ended(double seconds);

  mutable std::mutex mutex_;  // on a GPU the backward pass has threads of its own
  std::map<std::string, Entry> entries_;
  Phase phase_ = Phase::forward;
  Report totals_;
  std::int64_t held_ = 0;
};

// Records what the calling thread does, and the autograd threads that work for it; nothing where the profile is null. On a GPU
// each operation is waited for, so that its time is its own.
class ProfileScope {
 public:
  explicit ProfileScope(const std::shared_ptr<Profile>& profile);
  ~ProfileScope();
  ProfileScope(const ProfileScope&) = delete;
  ProfileScope& operator=(const ProfileScope&) = delete;

 private:
  std::shared_ptr<Profile> profile_;
  std::optional<c10::DebugInfoGuard> guard_;
  at::CallbackHandle callback_ = 0;
  Profile::Clock::time_point began_;
};

// Says which part of the step runs, to the profile of this thread if there is one.
class PhaseScope {
 public:
  explicit PhaseScope(Phase phase);
  ~PhaseScope();
  PhaseScope(const PhaseScope&) = delete;
  PhaseScope& operator=(const PhaseScope&) = delete;

 private:
  Profile* profile_;
  Phase before_ = Phase::forward;
};

}  // namespace dpm
