#include "ops/switches.h"

#include <cstdlib>
#include <string>

namespace dpm {

bool switched_on(const char* variable) {
  const char* const set = std::getenv(variable);
  return set == nullptr || std::string(set) != "0";
}

}  // namespace dpm
