#include "program.h"

#include <cmath>
#include <string>

#include "error.h"
#include "ops/kernels.h"

namespace dpm {
namespace {

class Reader {
 public:
  explicit Reader(const std::vector<double>& numbers) : numbers_(numbers) {}
  double next() {
    DPM_CHECK(at_ < numbers_.size(), "DPM_INVALID_ARGUMENT", "The encoded program ends too early.");
    return numbers_[at_++];
  }
  int whole(int below, const char* what) {
    const double value = next();
    DPM_CHECK(value >= 0 && value < below && value == std::floor(value), "DPM_INVALID_ARGUMENT",
              "Expected a " + std::string(what) + " below " + std::to_string(below) + " in the encoded program but received " +
                  std::to_string(value) + ".");
    return static_cast<int>(value);
  }
  bool done() const { return at_ == numbers_.size(); }

 private:
  const std::vector<double>& numbers_;
  std::size_t at_ = 0;
};

// Which operands are registers, and how many operands there are (-1: combine's pairs).
struct Form {
  int operands;
  std::vector<std::size_t> registers;
};

Form form_of(Opcode opcode) {
  switch (opcode) {
    case Opcode::evaluate:
      return {7, {0, 1}};
    case Opcode::combine:
      return {-1, {0}};
    case Opcode::noise:
      return {3, {0}};
    case Opcode::clip:
      return {4, {0, 1}};
    case Opcode::threshold:
      return {5, {0, 1}};
    case Opcode::blend:
      return {4, {0, 1, 2, 3}};
    case Opcode::emit:
      return {3, {0, 1}};
    case Opcode::multiply:
      return {3, {0, 1, 2}};
    case Opcode::exponential:
      return {4, {0, 1}};
    case Opcode::ratio:
      return {6, {0, 1, 2}};
    case Opcode::guide:
      return {6, {0, 1}};
  }
  throw Error("DPM_INVALID_ARGUMENT", "The encoded program has an unknown instruction.");
}

void check(const Instruction& instruction, int registers, int networks) {
  const Form form = form_of(instruction.opcode);
  const std::size_t count = instruction.operands.size();
  std::vector<std::size_t> slots = form.registers;
  if (form.operands < 0) {
    const std::size_t terms = (count - 1) / 2;
    DPM_CHECK(count >= 3 && count % 2 == 1 && terms <= CombineArguments::capacity, "DPM_INVALID_ARGUMENT",
              "A combine instruction takes 1 to " + std::to_string(CombineArguments::capacity) + " terms.");
    for (std::size_t k = 0; k < terms; ++k) slots.push_back(2 + 2 * k);
  } else {
    DPM_CHECK(count == static_cast<std::size_t>(form.operands), "DPM_INVALID_ARGUMENT", "An instruction has the wrong number of operands.");
  }
  // An evaluation's variance is a register, or -1 when it is not wanted.
  if (instruction.opcode == Opcode::evaluate && instruction.operands[6] != -1) slots.push_back(6);
  for (const std::size_t slot : slots) {
    const double value = instruction.operands[slot];
    DPM_CHECK(value >= 0 && value < registers && value == std::floor(value), "DPM_INVALID_ARGUMENT",
              "An instruction names register " + std::to_string(value) + " of " + std::to_string(registers) + ".");
  }
  for (const double operand : instruction.operands) {
    DPM_CHECK(std::isfinite(operand), "DPM_INVALID_ARGUMENT", "An instruction has an operand that is not finite.");
  }
  const auto whole = [&](std::size_t slot, double limit) {
    const double value = instruction.operands[slot];
    return value >= 0 && value < limit && value == std::floor(value);
  };
  if (instruction.opcode == Opcode::noise) {
    DPM_CHECK(whole(1, 0x1p32) && whole(2, 0x1p32), "DPM_INVALID_ARGUMENT", "A noise instruction takes a step and a purpose below 2^32.");
  }
  if (instruction.opcode == Opcode::emit) {
    DPM_CHECK(whole(2, 0x1p31), "DPM_INVALID_ARGUMENT", "An emit instruction takes a step below 2^31.");
  }
  if (instruction.opcode == Opcode::evaluate) {
    DPM_CHECK(whole(2, networks), "DPM_INVALID_ARGUMENT",
              "The program evaluates network " + std::to_string(instruction.operands[2]) + " but was given " + std::to_string(networks) + ".");
    DPM_CHECK(whole(3, 2), "DPM_INVALID_ARGUMENT", "An evaluate instruction takes a condition of 0 or 1.");
    DPM_CHECK(instruction.operands[0] != instruction.operands[6], "DPM_INVALID_ARGUMENT",
              "An evaluate instruction writes the output and the variance to two registers.");
  }
  if (instruction.opcode == Opcode::ratio) {
    DPM_CHECK(whole(3, 2), "DPM_INVALID_ARGUMENT", "A ratio instruction takes a measure of 0 (norm) or 1 (deviation).");
  }
  if (instruction.opcode == Opcode::guide) {
    DPM_CHECK(whole(2, 0x1p31), "DPM_INVALID_ARGUMENT", "A guide instruction takes a guide's number below 2^31.");
  }
}

}  // namespace

Program decode_program(const std::vector<double>& numbers, int networks) {
  constexpr int limit = 1 << 30;
  Reader reader(numbers);
  DPM_CHECK(reader.next() == 1, "DPM_INVALID_ARGUMENT", "The program has a version that this build does not know.");
  Program program;
  program.registers = reader.whole(1 << 20, "count of registers");
  program.output = reader.whole(program.registers, "register");
  const int inputs = reader.whole(limit, "count of inputs");
  for (int i = 0; i < inputs; ++i) program.inputs.push_back(reader.whole(program.registers, "register"));
  const int instructions = reader.whole(limit, "count of instructions");
  for (int i = 0; i < instructions; ++i) {
    Instruction instruction;
    instruction.opcode = static_cast<Opcode>(reader.whole(12, "opcode"));
    const int operands = reader.whole(limit, "count of operands");
    for (int k = 0; k < operands; ++k) instruction.operands.push_back(reader.next());
    check(instruction, program.registers, networks);
    program.instructions.push_back(std::move(instruction));
  }
  DPM_CHECK(reader.done(), "DPM_INVALID_ARGUMENT", "The encoded program has numbers after its end.");
  return program;
}

}  // namespace dpm
