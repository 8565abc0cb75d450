// Profiles of jobs, and what the machine reaches at most.
#include "profile.h"

#include "bindings.h"
#include "convert.h"
#include "handles.h"
#include "job.h"
#include "machine.h"

namespace dpm {
namespace {

const char* phase_name(Phase phase) {
  switch (phase) {
    case Phase::backward:
      return "backward";
    case Phase::update:
      return "update";
    default:
      return "forward";
  }
}

Napi::Array operands(Napi::Env env, const std::vector<Profile::Operand>& list) {
  const Napi::Array result = Napi::Array::New(env, list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Napi::Object row = Napi::Object::New(env);
    row.Set("shape", to_javascript(env, list[i].shape));
    row.Set("type", list[i].type ? Napi::Value(Napi::String::New(env, name_of(*list[i].type))) : env.Null());
    result.Set(static_cast<std::uint32_t>(i), row);
  }
  return result;
}

Napi::Object entry_of(Napi::Env env, const Profile::Entry& entry) {
  const Napi::Object row = Napi::Object::New(env);
  row.Set("name", entry.name);
  row.Set("phase", phase_name(entry.phase));
  row.Set("inputs", operands(env, entry.inputs));
  row.Set("outputs", operands(env, entry.outputs));
  row.Set("calls", static_cast<double>(entry.calls));
  row.Set("seconds", entry.seconds);
  row.Set("bytesRead", entry.bytes_read);
  row.Set("bytesWritten", entry.bytes_written);
  return row;
}

Napi::Value profile_create(const Napi::CallbackInfo& info) { return wrap(info.Env(), std::make_shared<Profile>()); }

Napi::Value profile_read(const Napi::CallbackInfo& info) {
  return run_job(
      info.Env(), nullptr, [profile = unwrap<Profile>(info[0])] { return profile->report(); },
      [](Napi::Env env, const Profile::Report& report) {
        const Napi::Object result = Napi::Object::New(env);
        const Napi::Array entries = Napi::Array::New(env, report.entries.size());
        for (std::size_t i = 0; i < report.entries.size(); ++i) entries.Set(static_cast<std::uint32_t>(i), entry_of(env, report.entries[i]));
        result.Set("operations", entries);
        result.Set("runs", static_cast<double>(report.runs));
        result.Set("seconds", report.seconds);
        result.Set("overhead", report.overhead);
        result.Set("peakBytes", static_cast<double>(report.peak_bytes));
        return result;
      });
}

Napi::Float64Array to_javascript(Napi::Env env, const std::vector<double>& seconds) {
  Napi::Float64Array array = Napi::Float64Array::New(env, seconds.size());
  std::copy(seconds.begin(), seconds.end(), array.Data());
  return array;
}

Napi::Value measure_convolution(const Napi::CallbackInfo& info) {
  const Napi::Object settings = object_of(info[0], "settings");
  const auto field = [&](const char* name, double high) { return static_cast<std::int64_t>(whole_of(settings.Get(name), name, 1, high)); };
  const auto cancellation = cancellation_of(info[4]);
  return run_job(
      info.Env(), cancellation,
      [count = field("count", 4096), channels = field("channels", 4096), size = field("size", 1024),
       precision = precision_of(text_of(info[1], "precision")), device = text_of(info[2], "device"),
       times = static_cast<std::int64_t>(whole_of(info[3], "times", 1, 10'000)),
       cancellation] { return convolution_seconds(count, channels, size, precision, device_of(device), times, cancellation.get()); },
      [](Napi::Env env, const std::vector<double>& seconds) { return to_javascript(env, seconds); });
}

Napi::Value measure_copy(const Napi::CallbackInfo& info) {
  const auto cancellation = cancellation_of(info[3]);
  return run_job(
      info.Env(), cancellation,
      [bytes = static_cast<std::int64_t>(whole_of(info[0], "bytes", 1, 1e12)), device = text_of(info[1], "device"),
       times = static_cast<std::int64_t>(whole_of(info[2], "times", 1, 10'000)),
       cancellation] { return copy_seconds(bytes, device_of(device), times, cancellation.get()); },
      [](Napi::Env env, const std::vector<double>& seconds) { return to_javascript(env, seconds); });
}

}  // namespace

void export_profiles(Napi::Env env, Napi::Object exports) {
  export_function(env, exports, "profileCreate", profile_create);
  export_function(env, exports, "profileRead", profile_read);
  export_function(env, exports, "measureConvolution", measure_convolution);
  export_function(env, exports, "measureCopy", measure_copy);
}

}  // namespace dpm
