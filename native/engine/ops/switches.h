// A switch of the environment for every kernel of ours: NAME=0 brings libtorch's operators back, to compare, and to look for
// a fault. CONTRIBUTING.md lists them.
#pragma once

namespace dpm {

// Read where the kernel is first used: later changes of the environment are not seen.
bool switched_on(const char* variable);

}  // namespace dpm
