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
  std::vector<const void*> memory;  // of the storage, which views share
  std::vector<const void*> begin;   // of the first element
  std::vector<double> bytes;
  std::optional<c10::Device> gpu;

  void add(const at::Tensor& tensor) {
    if (!tensor.defined()) {
      list.push_back({});
      memory.push_back(nullptr);
      begin.push_back(nullptr);
      bytes.push_back(0);
      return;
    }
    list.push_back({tensor.sizes().vec(), tensor.scalar_type()});
    memory.push_back(tensor.has_storage() ? tensor.storage().data() : nullptr);
    begin.push_back(tensor.has_storage() ? static_cast<const char*>(memory.back()) + tensor.storage_offset() * tensor.element_size() : nullptr);
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

// In place, but only in the way that memory is seen.
bool is_view_in_place(std::string_view name) {
  static const auto* const names = new std::set<std::string_view>{"aten::as_strided_", "aten::squeeze_", "aten::unsqueeze_", "aten::t_",
                                                                  "aten::transpose_",  "aten::detach_",  "aten::set_",       "aten::requires_grad_"};
  return names->count(name) > 0;
}

// Places in memory that were read and written, counted once.
struct Places {
  std::vector<const void*> read, written;

  void add(const Places& others) {
    read.insert(read.end(), others.read.begin(), others.read.end());
    written.insert(written.end(), others.written.begin(), others.written.end());
  }
};

struct Traffic {
  double read = 0, written = 0;
};

// Bytes of the operands that are not among the places, to which they are added.
double count(const Operands& operands, std::size_t i, std::vector<const void*>& places) {
  const void* const begin = operands.begin[i];
  if (std::find(places.begin(), places.end(), begin) != places.end()) return 0;
  places.push_back(begin);
  return operands.bytes[i];
}

// What an operation itself reads and writes of its operands: operations inside it may have touched some of them. Autograd's
// nodes only call operations, an allocation writes nothing, and what gives its argument's memory back without writing to it
// (`add_`, overloads `out`) is a view.
Traffic traffic_of(const at::RecordFunction& record, const Operands& inputs, const Operands& outputs, Places& inside) {
  const std::string_view name = record.name(), overload = record.overload_name();
  if (record.scope() != at::RecordScope::FUNCTION) return {};
  if (starts_with(name, "aten::empty") || starts_with(name, "aten::new_empty") || starts_with(name, "aten::resize") || is_view_in_place(name))
    return {};
  const bool writes = starts_with(name, "dpm::") || (!name.empty() && name.back() == '_') || overload.find("out") != std::string_view::npos;
  const auto is_written = [&](std::size_t i) { return writes || !inputs.shares(outputs.memory[i]); };
  bool any_written = outputs.list.empty();
  for (std::size_t i = 0; i < outputs.list.size(); ++i) any_written = any_written || is_written(i);
  if (!any_written) return {};
  Traffic traffic;
  for (std::size_t i = 0; i < outputs.list.size(); ++i) {
    if (is_written(i)) traffic.written += count(outputs, i, inside.written);
  }
  // The first is overwritten, not read.
  const bool overwrites = name == "aten::copy_" || name == "aten::fill_" || name == "aten::zero_";
  for (std::size_t i = overwrites ? 1 : 0; i < inputs.list.size(); ++i) traffic.read += count(inputs, i, inside.read);
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
  Places places;      // that operations within have counted

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
  const Traffic own = traffic_of(record, frame->inputs, outputs, frame->places);
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
  entry.bytes_read += own.read;
  entry.bytes_written += own.written;
  const auto left = Clock::now();
  profile->totals_.overhead += seconds_of(left - end);
  if (frame->outer == nullptr) return;
  frame->outer->inside += seconds_of(left - frame->began);
  frame->outer->places.add(frame->places);
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
