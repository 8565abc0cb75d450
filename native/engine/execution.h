// The sampling loop: runs a program's instructions over registers, from emit to emit or to the end.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "cancellation.h"
#include "networks/network.h"
#include "precision.h"
#include "program.h"

namespace dpm {

class Execution {
 public:
  struct Options {
    double seed;
    std::vector<double> samples;  // noise key of each sample
    std::int64_t chunk;           // examples per network call, always exactly this many
    at::Tensor classes;           // N int64 on the CPU, or undefined
    at::Tensor image;             // N×K×H×W float32 that the networks see beside x, or undefined
    Precision precision;
  };
  // What a guide is asked: the gradient of guide number `guide` at the register that `guided()` shows, at this level.
  struct Question {
    int guide;
    double time, alpha, sigma;
  };
  struct Progress {
    int step = 0;
    int evaluations = 0;
    std::int64_t emits = 0;  // that passed in this call
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
  void run(const Instruction& instruction, const Cancellation* cancellation);
  void evaluate(const Instruction& instruction, const Cancellation* cancellation);
  void combine(const Instruction& instruction);
  void noise(const Instruction& instruction);
  void threshold(const Instruction& instruction);
  void ratio(const Instruction& instruction);
  const Instruction& waiting() const;
  // Notes whether each sample is finite here. Throws DPM_NON_FINITE where that is known at once; on a GPU it is asked at the end of
  // a segment, so that no emit waits for the device.
  void note_finite(int step, const at::Tensor& x, const at::Tensor& clean);
  void require_finite();
  // Examples of a tensor for one network call, filled up with zeros to a whole chunk.
  at::Tensor chunk_of(const at::Tensor& whole, std::int64_t begin) const;
  // The tensor to write to. Never one that the last emit showed: such a register is given another.
  at::Tensor target(int index);
  at::Tensor source(int index) const;

  std::vector<std::shared_ptr<WeightedNetwork>> networks_;
  Program program_;
  Options options_;
  std::vector<at::Tensor> registers_;
  std::vector<std::int64_t> shape_;
  at::Device device_;
  std::size_t next_ = 0;
  bool broken_ = false;   // an instruction was left half done
  bool waiting_ = false;  // for the answer to the guide instruction at next_
  at::Tensor emitted_x_, emitted_clean_;
  // The step, and for each sample a number that is finite where the sample is.
  std::vector<std::pair<int, at::Tensor>> noted_;
  Progress progress_;
};

}  // namespace dpm
