// The door of the addon: dpm-torch.node. It links neither libtorch nor the core, so it can always be loaded and can say
// in plain words what is missing. open() loads libtorch with global symbols, asks its version, then opens the core.
//
// Laws:
// - Libraries are opened once per process and never closed: libtorch's static objects and threads do not survive it.
// - The core is initialised once per environment (main thread, each worker), always through the same handle.
// - A process runs one libtorch. A second environment that names another one is refused, not mixed in.
#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <node_api.h>

#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

namespace {

struct Refusal {
  const char* code;
  std::string message;
};

using AbiVersion = uint64_t (*)();
using CoreInit = napi_value (*)(napi_env, napi_value);

// What this process has opened. Allocated once and never freed, like the libraries themselves.
struct Opened {
  std::mutex mutex;
  std::vector<std::string> libraries;
  std::string core;
  CoreInit core_init = nullptr;
};

Opened& opened() {
  static Opened* instance = new Opened();
  return *instance;
}

std::string dynamic_error() {
  const char* text = dlerror();
  return text ? text : "no reason given";
}

// The loader names the object that it could not find first: "libcupti.so.13: cannot open shared object file: ...".
const char* code_for(const std::string& error) {
  if (error.find("cannot open shared object file") != std::string::npos) return "DPM_LIBTORCH_MISSING";
  if (error.find("version `GLIBC_") != std::string::npos) return "DPM_PLATFORM_UNSUPPORTED";
  return "DPM_LIBTORCH_MISMATCH";
}

// While it lives, a libgomp that is loaded learns to wait asleep soon. By default its threads spin for milliseconds at every
// barrier: where another process wants the cores too, each waits for one that was put off, and everything runs five times
// slower. The environment of child processes stays as it was.
class PatientOpenMp {
 public:
  PatientOpenMp() : ours_(!std::getenv("OMP_WAIT_POLICY") && !std::getenv(kSpin)) {
    if (ours_) setenv(kSpin, "10000", 1);
  }
  ~PatientOpenMp() {
    if (ours_) unsetenv(kSpin);
  }
  PatientOpenMp(const PatientOpenMp&) = delete;
  PatientOpenMp& operator=(const PatientOpenMp&) = delete;

 private:
  static constexpr const char* kSpin = "GOMP_SPINCOUNT";
  bool ours_;
};

void open_libraries(const std::vector<std::string>& libraries) {
  Opened& process = opened();
  const PatientOpenMp patient;
  for (size_t index = 0; index < libraries.size(); ++index) {
    if (index < process.libraries.size()) {
      if (process.libraries[index] == libraries[index]) continue;
      throw Refusal{"DPM_LIBTORCH_MISMATCH",
                    "This process already runs on " + process.libraries[index] + ", so it cannot open " + libraries[index] + " as well."};
    }
    if (!dlopen(libraries[index].c_str(), RTLD_NOW | RTLD_GLOBAL)) {
      const std::string error = dynamic_error();
      throw Refusal{code_for(error), "libtorch does not load: " + error};
    }
    process.libraries.push_back(libraries[index]);
  }
}

std::string show_version(uint64_t upper) { return std::to_string(upper >> 8) + "." + std::to_string(upper & 0xff); }

// abi is major * 256 + minor: the two upper bytes of the number that libtorch gives (torch/headeronly/version.h).
void check_version(uint64_t abi) {
  auto version = reinterpret_cast<AbiVersion>(dlsym(RTLD_DEFAULT, "aoti_torch_abi_version"));
  if (!version) {
    throw Refusal{"DPM_LIBTORCH_MISMATCH", "This libtorch is older than 2.5: it does not say its version. Expected " + show_version(abi) + "."};
  }
  const uint64_t found = version() >> 48;
  if (found != abi) {
    throw Refusal{"DPM_LIBTORCH_MISMATCH", "Expected libtorch " + show_version(abi) + " but the one opened is " + show_version(found) + "."};
  }
}

CoreInit open_core(const std::string& path) {
  Opened& process = opened();
  if (process.core_init) {
    if (process.core == path) return process.core_init;
    throw Refusal{"DPM_ADDON_MISSING", "This process already runs the core " + process.core + ", so it cannot open " + path + " as well."};
  }
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    const std::string error = dynamic_error();
    // A symbol that is not there is a core built against another libtorch; a file that is not there is no core.
    const bool symbol = error.find("undefined symbol") != std::string::npos;
    const bool glibc = error.find("version `GLIBC") != std::string::npos;
    throw Refusal{symbol  ? "DPM_LIBTORCH_MISMATCH"
                  : glibc ? "DPM_PLATFORM_UNSUPPORTED"
                          : "DPM_ADDON_MISSING",
                  "The core of dpm-torch does not load: " + error};
  }
  auto init = reinterpret_cast<CoreInit>(dlsym(handle, "dpm_core_init"));
  if (!init) throw Refusal{"DPM_ADDON_MISSING", path + " is not the core of dpm-torch: " + dynamic_error()};
  process.core = path;
  process.core_init = init;
  return init;
}

// ---- JavaScript in and out

void check_status(napi_status status, const char* what) {
  if (status != napi_ok) throw Refusal{"DPM_INTERNAL", what};
}

napi_value get_property(napi_env env, napi_value object, const char* name) {
  napi_value value;
  check_status(napi_get_named_property(env, object, name, &value), "open() takes one object");
  return value;
}

std::string read_string(napi_env env, napi_value value) {
  size_t length = 0;
  check_status(napi_get_value_string_utf8(env, value, nullptr, 0, &length), "open() takes paths as strings");
  std::string text(length, '\0');
  check_status(napi_get_value_string_utf8(env, value, text.data(), length + 1, &length), "open() takes paths as strings");
  return text;
}

std::vector<std::string> read_strings(napi_env env, napi_value array) {
  uint32_t count = 0;
  check_status(napi_get_array_length(env, array, &count), "open() takes `libraries` as an array");
  std::vector<std::string> strings;
  for (uint32_t index = 0; index < count; ++index) {
    napi_value element;
    check_status(napi_get_element(env, array, index, &element), "open() takes `libraries` as an array");
    strings.push_back(read_string(env, element));
  }
  return strings;
}

bool is_null(napi_env env, napi_value value) {
  napi_valuetype type;
  return napi_typeof(env, value, &type) == napi_ok && (type == napi_null || type == napi_undefined);
}

void throw_error(napi_env env, const Refusal& refusal) {
  bool pending = false;
  if (napi_is_exception_pending(env, &pending) == napi_ok && pending) return;
  napi_throw_error(env, refusal.code, refusal.message.c_str());
}

// open({ libraries: string[], core: string | null, abi: number | null }): the core's exports, or undefined when `core`
// is null (doctor opens libraries alone). Throws an Error whose `code` is one of dpm-torch's.
napi_value open(napi_env env, napi_callback_info info) {
  try {
    size_t count = 1;
    napi_value options;
    check_status(napi_get_cb_info(env, info, &count, &options, nullptr, nullptr), "open() takes one object");
    const std::vector<std::string> libraries = read_strings(env, get_property(env, options, "libraries"));
    napi_value core = get_property(env, options, "core");
    napi_value abi = get_property(env, options, "abi");

    CoreInit init = nullptr;
    {
      std::lock_guard<std::mutex> lock(opened().mutex);
      open_libraries(libraries);
      if (!is_null(env, abi)) {
        int64_t expected = 0;
        check_status(napi_get_value_int64(env, abi, &expected), "open() takes `abi` as a number");
        check_version(static_cast<uint64_t>(expected));
      }
      if (!is_null(env, core)) init = open_core(read_string(env, core));
    }
    if (!init) return nullptr;
    napi_value exports;
    check_status(napi_create_object(env, &exports), "no object could be made");
    napi_value replaced = init(env, exports);
    return replaced ? replaced : exports;
  } catch (const Refusal& refusal) {
    throw_error(env, refusal);
  } catch (const std::exception& error) {
    throw_error(env, Refusal{"DPM_INTERNAL", error.what()});
  } catch (...) {
    throw_error(env, Refusal{"DPM_INTERNAL", "the core failed to start"});
  }
  return nullptr;
}

}  // namespace

NAPI_MODULE_INIT() {
  napi_value function;
  napi_value glibc;
  if (napi_create_function(env, "open", NAPI_AUTO_LENGTH, open, nullptr, &function) != napi_ok) return nullptr;
  if (napi_set_named_property(env, exports, "open", function) != napi_ok) return nullptr;
  if (napi_create_string_utf8(env, gnu_get_libc_version(), NAPI_AUTO_LENGTH, &glibc) != napi_ok) return nullptr;
  if (napi_set_named_property(env, exports, "glibc", glibc) != napi_ok) return nullptr;
  return exports;
}
