// What this build is and what it runs on.
#pragma once

namespace dpm {

const char* core_version();
// The libtorch that the core was built against; the entry has checked that the one loaded is of the same minor.
const char* libtorch_version();
// DEFAULT, AVX2 or AVX512: the kernels that libtorch chose.
const char* cpu_capability();
// Whether the processor has products of bfloat16 (AVX-512 BF16, AMX); without, half precision is emulated and slow.
bool multiplies_bfloat16();

}  // namespace dpm
