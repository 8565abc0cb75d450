#include "version.h"

#include <ATen/Version.h>
#include <torch/headeronly/version.h>

#include <string>

namespace dpm {

const char* core_version() { return DPM_VERSION; }

const char* libtorch_version() { return TORCH_VERSION; }

bool multiplies_bfloat16() { return __builtin_cpu_supports("avx512bf16") != 0; }

const char* cpu_capability() {
  static const std::string* const name = new std::string(at::get_cpu_capability());
  return name->c_str();
}

}  // namespace dpm
