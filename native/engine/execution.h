// The sampling loop: runs a program's instructions over registers, from emit to emit or to the end.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "cancellation.h"
#include "network_calls.h"
#include "program.h"
#include "registers.h"

namespace dpm {

class Execution {
 public:
  struct Options {
    double seed;
    std::vector<double> samples;  // noise key of each sample
    NetworkCalls::Given given;
  };
  // What a guide is asked: the gradient of guide number `guide` at the register that `guided()` shows, at this level.
  struct Question {
    int guide;
    double time, alpha, sigma;
  };
  struct Progress {
    int step = 0;
    int evaluations = 0;
    std::int64_t emits = 0;      // that passed in this call
    double network_seconds = 0;  // spent inside networks in this call
    bool done = false;
    std::optional<Question> guide;  // the run stands before a guide instruction and waits for answer()
  };

  Execution(std::vector<std::shared_ptr<WeightedNetwork>> networks, Program program, const std::vector<at::Tensor>& inputs, Options options);

  // Runs until `emits` more emit instructions have passed, or to the next guide. `on_emit` is called at each emit. Throws
  // DPM_ABORTED between network blocks when cancelled; the execution can be advanced no further then.
  Progress advance(std::int64_t emits, const std::function<void(const Progress&)>& on_emit, const Cancellation* cancellation);

  // What the guide that the run waits for has found, of x's shape, float32. The next advance goes on behind it.
  void answer(const at::Tensor& gradient);

  // Copies: what the last emit showed, whatever was written since; what the guide is asked about; the output register.
  at::Tensor x() const;
  at::Tensor clean() const;
  at::Tensor guided() const;
  at::Tensor output() const;

 private:
  void run(const Instruction& instruction);
  void combine(const Instruction& instruction);
  void noise(const Instruction& instruction);
  void clip(const Instruction& instruction);
  void threshold(const Instruction& instruction);
  void ratio(const Instruction& instruction);
  void emit(const Instruction& instruction);
  const Instruction& waiting() const;
  // Notes whether each sample is finite here. Throws DPM_NON_FINITE where that is known at once; on a GPU it is asked at the end of
  // a segment, so that no emit waits for the device.
  void note_finite(int step, const at::Tensor& x, const at::Tensor& clean);
  void require_finite();

  const at::Tensor& source(const Instruction& instruction, std::size_t operand) const { return registers_.source(instruction.reg(operand)); }
  const at::Tensor& target(const Instruction& instruction) { return registers_.target(instruction.reg(0)); }

  Program program_;
  std::vector<double> samples_;
  Key key_;
  Precision precision_;
  std::vector<std::int64_t> shape_;
  NetworkCalls calls_;
  Registers registers_;
  // Those of the program, in order; one may stand for two instructions.
  std::vector<Evaluation> evaluations_;
  std::size_t next_ = 0, next_evaluation_ = 0;
  bool broken_ = false;   // an instruction was left half done
  bool waiting_ = false;  // for the answer to the guide instruction at next_
  // The step, and for each sample a number that is finite where the sample is.
  std::vector<std::pair<int, at::Tensor>> noted_;
  Progress progress_;
};

}  // namespace dpm
