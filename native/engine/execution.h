// The sampling loop: runs a program's instructions over registers, from emit to emit or to the end.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
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
    Precision precision;
  };
  struct Progress {
    int step = 0;
    int evaluations = 0;
    bool done = false;
  };

  Execution(std::vector<std::shared_ptr<WeightedNetwork>> networks, Program program, const std::vector<at::Tensor>& inputs, Options options);

  // Runs until `emits` more emit instructions have passed. `on_emit` is called at each. Throws DPM_ABORTED between
  // network blocks when cancelled; the execution can be advanced no further then.
  Progress advance(std::int64_t emits, const std::function<void(const Progress&)>& on_emit, const Cancellation* cancellation);

  // Copies: what the last emit showed, or the output register.
  at::Tensor x() const;
  at::Tensor clean() const;
  at::Tensor output() const;

 private:
  void run(const Instruction& instruction, const Cancellation* cancellation);
  void evaluate(const Instruction& instruction, const Cancellation* cancellation);
  void combine(const Instruction& instruction);
  void noise(const Instruction& instruction);
  void threshold(const Instruction& instruction);
  at::Tensor& target(int index);
  const at::Tensor& source(int index) const;

  std::vector<std::shared_ptr<WeightedNetwork>> networks_;
  Program program_;
  Options options_;
  std::vector<at::Tensor> registers_;
  std::vector<std::int64_t> shape_;
  at::Device device_;
  std::size_t next_ = 0;
  bool broken_ = false;  // an instruction was left half done
  int emitted_x_ = -1, emitted_clean_ = -1;
  Progress progress_;
};

}  // namespace dpm
