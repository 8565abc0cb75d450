// A recorded sampler as the native loop reads it; lib/sampling/program.ts has the meaning of every instruction.
#pragma once
#include <cstdint>
#include <vector>

namespace dpm {

enum class Opcode : int {
  evaluate = 1,
  combine = 2,
  noise = 3,
  clip = 4,
  threshold = 5,
  blend = 6,
  emit = 7,
  multiply = 8,
  exponential = 9,
  ratio = 10,
  guide = 11,
};

struct Instruction {
  Opcode opcode;
  std::vector<double> operands;

  int reg(std::size_t operand) const { return static_cast<int>(operands[operand]); }
};

struct Program {
  int registers = 0;
  int output = 0;
  std::vector<int> inputs;
  std::vector<Instruction> instructions;
};

// Reads what encodeProgram wrote. Throws DPM_INVALID_ARGUMENT on a list that is not a program: registers are checked here,
// once, so that the loop need not.
Program decode_program(const std::vector<double>& numbers, int networks);

}  // namespace dpm
