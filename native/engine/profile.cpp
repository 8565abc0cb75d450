#include "profile.h"

#include <ATen/core/ivalue.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

namespace dpm {
namespace {

// What an operation was given or gave, as far as it is tensors.
struct Operands {
  std::vector<Profile::Operand> list;
  std::vector<const void*> memory;
  std::vector<double> bytes;
  std::optional<c10::Device> gpu;

  void add(const at::Tensor& tensor) {
    if (!tensor.defined()) {
      list.push_back({});
      memory.push_back(nullptr);
      bytes.push_back(0);
      return;
    }
    list.push_back({tensor.sizes().vec(), tensor.scalar_type()});
    memory.push_back(tensor.has_storage() ? tensor.storage().data() : nullptr);
    // What is expanded is there once.
    double size = static_cast<double>(tensor.element_size());
    for (std::int64_t i = 0; i < tensor.dim(); ++i) {
      if (tensor.size(i) == 0 || tensor.stride(i) != 0) size *= static_cast<double>(tensor.size(i));
    }
    bytes.push_back(size);
    if (!tensor.is_cpu()) gpu = tensor.device();
  }

  void add(const c10::IValue& value) {
    if (value.isTensor()) return add(value.toTensor());
    if (value.isTensorList()) {
      for (const at::Tensor& tensor : value.toTensorList()) add(tensor);
    } else if (value.isOptionalTensorList()) {
      for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorList()) add(tensor ? *tensor : at::Tensor());
    }
  }

  bool shares(const void* other) const { return other != nullptr && std::find(memory.begin(), memory.end(), other) != memory.end(); }

  double total() const {
    double sum = 0;
    for (const double size : bytes) sum += size;
    return sum;
  }
};

void append(std::string& key, const Operands& operands) {
  for (const Profile::Operand& operand : operands.list) {
    key += ';';
    if (!operand.type) continue;
    key += static_cast<char>('A' + static_cast<int>(*operand.type));
    for (const std::int64_t size : operand.shape) key.append(reinterpret_cast<const char*>(&size), sizeof(size));
  }
}

bool starts_with(std::string_view name, std::string_view start) { return name.substr(0, start.size()) == start; }

struct Traffic {
  double read = 0, written = 0;
};

// In place, but only in the way that memory is seen.
bool is_view_in_place(std::string_view name) {
  static const auto* const names = new std::set<std::string_view>{"aten::as_strided_", "aten::squeeze_", "aten::unsqueeze_", "aten::t_",
                                                                  "aten::transpose_",  "aten::detach_",  "aten::set_",       "aten::requires_grad_"};
  return names->count(name) > 0;
}

// Of an operation as if it made no others. Autograd's nodes only call operations, an allocation writes nothing, and what gives
// its argument's memory back without writing to it (`add_`, overloads `out`) is a view.
Traffic traffic_of(const at::RecordFunction& record, const Operands& inputs, const Operands& outputs) {
  const std::string_view name = record.name(), overload = record.overload_name();
  if (record.scope() != at::RecordScope::FUNCTION) return {};
  if (starts_with(name, "dpm::")) return {inputs.total(), outputs.total()};
  if (starts_with(name, "aten::empty") || starts_with(name, "aten::new_empty") || starts_with(name, "aten::resize") || is_view_in_place(name))
    return {};
  const bool writes = (!name.empty() && name.back() == '_') || overload.find("out") != std::string_view::npos;
  Traffic traffic{inputs.total(), 0};
  for (std::size_t i = 0; i < outputs.list.size(); ++i) {
    if (writes || !inputs.shares(outputs.memory[i])) traffic.written += outputs.bytes[i];
  }
  const bool given_back = std::any_of(outputs.memory.begin(), outputs.memory.end(), [&](const void* memory) { return inputs.shares(memory); });
  if (given_back && traffic.written == 0) return {};
  // Overwritten, not read.
  const bool overwrites = name == "aten::copy_" || name == "aten::fill_" || name == "aten::zero_";
  if (overwrites && !inputs.bytes.empty()) traffic.read -= inputs.bytes[0];
  return traffic;
}

std::vector<c10::IValue> values_of(const Operation::Tensors& tensors) {
  std::vector<c10::IValue> values;
  for (const at::Tensor& tensor : tensors.few) values.emplace_back(tensor);
  for (const at::Tensor& tensor : tensors.many) values.emplace_back(tensor);
  return values;
}

double seconds_of(std::chrono::steady_clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

void Operation::begin(const char* name, const Tensors& read, const Tensors& written) {
  const std::vector<c10::IValue> inputs = values_of(read);
  record_.before(name, &inputs);
  record_.setOutputs(values_of(written));
}

// An operation that has begun and not ended.
struct Profile::Frame : at::ObserverContext {
  Frame* outer;
  Operands inputs;
  std::string key;
  Clock::time_point began;
  double inside = 0;  // seconds of operations within, recording included
  Traffic counted;    // by operations within

  static thread_local Frame* innermost;
};
thread_local Profile::Frame* Profile::Frame::innermost = nullptr;

Profile* Profile::current() { return static_cast<Profile*>(c10::ThreadLocalDebugInfo::get(c10::DebugInfoKind::PROFILER_STATE)); }

std::unique_ptr<at::ObserverContext> Profile::started(const at::RecordFunction& record) {
  const auto called = Clock::now();
  Profile* const profile = current();
  if (profile == nullptr) return nullptr;
  auto frame = std::make_unique<Frame>();
  for (const c10::IValue& value : record.inputs()) frame->inputs.add(value);
  frame->key = record.name();
  append(frame->key, frame->inputs);
  frame->outer = Frame::innermost;
  Frame::innermost = frame.get();
  frame->began = Clock::now();
  const double spent = seconds_of(frame->began - called);
  if (frame->outer != nullptr) frame->outer->inside += spent;
  const std::lock_guard lock(profile->mutex_);
  profile->totals_.overhead += spent;
  return frame;
}

void Profile::ended(const at::RecordFunction& record, at::ObserverContext* context) {
  Profile* const profile = current();
  auto* const frame = static_cast<Frame*>(context);
  if (frame == nullptr) return;
  Frame::innermost = frame->outer;
  if (profile == nullptr) return;
  Operands outputs;
  for (const c10::IValue& value : record.outputs()) outputs.add(value);
  if (const auto gpu = outputs.gpu ? outputs.gpu : frame->inputs.gpu) c10::impl::VirtualGuardImpl(gpu->type()).synchronizeDevice(gpu->index());
  const auto end = Clock::now();
  const Traffic own = traffic_of(record, frame->inputs, outputs);
  frame->key += '>';
  append(frame->key, outputs);
  const std::lock_guard lock(profile->mutex_);
  frame->key += static_cast<char>('0' + static_cast<int>(profile->phase_));
  Entry& entry = profile->entries_[frame->key];
  if (entry.calls == 0) {
    entry.name = record.name();
    entry.phase = profile->phase_;
    entry.inputs = std::move(frame->inputs.list);
    entry.outputs = std::move(outputs.list);
  }
  ++entry.calls;
  entry.seconds += std::max(0.0, seconds_of(end - frame->began) - frame->inside);
  entry.bytes_read += std::max(0.0, own.read - frame->counted.read);
  entry.bytes_written += std::max(0.0, own.written - frame->counted.written);
  const auto left = Clock::now();
  profile->totals_.overhead += seconds_of(left - end);
  if (frame->outer == nullptr) return;
  frame->outer->inside += seconds_of(left - frame->began);
  frame->outer->counted.read += std::max(own.read, frame->counted.read);
  frame->outer->counted.written += std::max(own.written, frame->counted.written);
}

void Profile::reportMemoryUsage(void*, std::int64_t size, std::size_t, std::size_t, c10::Device) {
  const std::lock_guard lock(mutex_);
  held_ += size;
  totals_.peak_bytes = std::max(totals_.peak_bytes, held_);
}

void Profile::run_ended(double seconds) {
  const std::lock_guard lock(mutex_);
  ++totals_.runs;
  totals_.seconds += seconds;
  held_ = 0;
}

Profile::Report Profile::report() const {
  const std::lock_guard lock(mutex_);
  Report report = totals_;
  for (const auto& [key, entry] : entries_) report.entries.push_back(entry);
  return report;
}

ProfileScope::ProfileScope(const std::shared_ptr<Profile>& profile) : profile_(profile), began_(Profile::Clock::now()) {
  if (!profile_) return;
  guard_.emplace(c10::DebugInfoKind::PROFILER_STATE, profile_);
  callback_ = at::addThreadLocalCallback(at::RecordFunctionCallback(Profile::started, Profile::ended)
                                             .needsInputs(true)
                                             .needsOutputs(true)
                                             .scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}));
}

ProfileScope::~ProfileScope() {
  if (!profile_) return;
  at::removeCallback(callback_);
  profile_->run_ended(seconds_of(Profile::Clock::now() - began_));
}

PhaseScope::PhaseScope(Phase phase) : profile_(Profile::current()) {
  if (profile_ == nullptr) return;
  const std::lock_guard lock(profile_->mutex_);
  before_ = std::exchange(profile_->phase_, phase);
}

PhaseScope::~PhaseScope() {
  if (profile_ == nullptr) return;
  const std::lock_guard lock(profile_->mutex_);
  profile_->phase_ = before_;
}

}  // namespace dpm
