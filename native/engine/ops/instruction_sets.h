// Loops that the compiler can vectorise are compiled once per instruction set and chosen when the library is loaded.
#pragma once

#define DPM_PER_INSTRUCTION_SET __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
