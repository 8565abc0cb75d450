#include "execution.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/quantile.h>
#include <ATen/ops/stack.h>

#include <cmath>
#include <string>
#include <utility>

#include "error.h"
#include "ops/launch.h"
#include "profile.h"

namespace dpm {
namespace {

at::Tensor prepare(const at::Tensor& input, const at::Device& device) {
  const at::Tensor x = input.to(device, at::kFloat);
  return x.contiguous(at::MemoryFormat::ChannelsLast).clone(at::MemoryFormat::ChannelsLast);
}

// The shape of a run. Throws DPM_INVALID_ARGUMENT when the inputs are not those of the program.
std::vector<std::int64_t> shape_of(const std::vector<at::Tensor>& inputs, const Program& program, std::size_t samples) {
  DPM_CHECK(inputs.size() == program.inputs.size() && !inputs.empty(), "DPM_INVALID_ARGUMENT",
            "The program has " + std::to_string(program.inputs.size()) + " inputs but was given " + std::to_string(inputs.size()) + ".");
  DPM_CHECK(inputs[0].dim() == 4, "DPM_INVALID_ARGUMENT", "Expected tensors of shape N×C×H×W for the program's inputs.");
  for (const at::Tensor& input : inputs) {
    DPM_CHECK(input.sizes() == inputs[0].sizes(), "DPM_INVALID_ARGUMENT", "Expected inputs of one shape for the program.");
  }
  DPM_CHECK(static_cast<std::int64_t>(samples) == inputs[0].size(0), "DPM_INVALID_ARGUMENT", "Expected one sample key per image.");
  return inputs[0].sizes().vec();
}

Evaluation evaluation_of(const Instruction& instruction) {
  const std::vector<double>& numbers = instruction.operands;
  const int variance = numbers[6] < 0 ? -1 : instruction.reg(6);
  return {instruction.reg(2), instruction.reg(1), numbers[4], numbers[5], {{numbers[3] != 0, instruction.reg(0), variance}}};
}

// Throws DPM_INVALID_ARGUMENT when the network cannot give what the program asks.
void check(const Evaluation& evaluation, const NetworkCalls& calls, std::int64_t channels) {
  const Network& network = calls.network(evaluation.network);
  const std::int64_t outputs = network.denoising_channels(channels);
  for (const Evaluation::Part& part : evaluation.parts) {
    DPM_CHECK(part.variance < 0 || outputs == 2 * channels, "DPM_INVALID_ARGUMENT",
              "The program asks the network for its variance, but the network has not learned one: it has " + std::to_string(outputs) +
                  " output channels for images of " + std::to_string(channels) + ". Train it with a learned variance, or sample with a fixed one.");
    DPM_CHECK(part.given || network.null_class() >= 0 || !calls.has_classes(), "DPM_INVALID_ARGUMENT",
              "The program asks the network without a class, as guidance does, but the network has no null class. Train it with `nullClass`, or "
              "sample without guidance.");
  }
}

}  // namespace

Execution::Execution(std::vector<std::shared_ptr<WeightedNetwork>> networks, Program program, const std::vector<at::Tensor>& inputs, Options options)
    : program_(std::move(program)),
      samples_(std::move(options.samples)),
      key_(key_of(options.seed)),
      precision_(options.given.precision),
      shape_(shape_of(inputs, program_, samples_.size())),
      calls_(std::move(networks), std::move(options.given), shape_),
      registers_(program_.registers, shape_, calls_.device()) {
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < inputs.size(); ++i) registers_.put(program_.inputs[i], prepare(inputs[i], calls_.device()));
  const bool joins = calls_.joins();
  bool follows = false;  // directly behind an evaluation
  for (const Instruction& instruction : program_.instructions) {
    const bool evaluates = instruction.opcode == Opcode::evaluate;
    if (evaluates) {
      Evaluation evaluation = evaluation_of(instruction);
      check(evaluation, calls_, shape_[1]);
      if (joins && follows && evaluations_.back().precedes(evaluation)) {
        evaluations_.back().parts.push_back(evaluation.parts[0]);
      } else {
        evaluations_.push_back(std::move(evaluation));
      }
    }
    follows = evaluates;
  }
}

Execution::Progress Execution::advance(std::int64_t emits, const std::function<void(const Progress&)>& on_emit, const Cancellation* cancellation) {
  DPM_CHECK(!broken_, "DPM_INVALID_ARGUMENT", "This run was cancelled or failed and cannot go on. Start another.");
  DPM_CHECK(!waiting_, "DPM_INVALID_ARGUMENT",
            "This run waits for the answer of guide " + std::to_string(waiting_ ? waiting().reg(2) : 0) + ". Give it before the run goes on.");
  const at::NoGradGuard no_grad;
  const PrecisionScope scope(precision_, calls_.device());
  const double seconds_before = calls_.seconds();
  broken_ = true;
  progress_.emits = 0;
  progress_.guide.reset();
  while (next_ < program_.instructions.size() && emits > 0) {
    if (cancellation) cancellation->throw_if_requested();
    const Instruction& instruction = program_.instructions[next_];
    if (instruction.opcode == Opcode::guide) {
      source(instruction, 1);
      waiting_ = true;
      progress_.guide = {instruction.reg(2), instruction.operands[3], instruction.operands[4], instruction.operands[5]};
      break;
    }
    if (instruction.opcode == Opcode::evaluate) {
      const Evaluation& evaluation = evaluations_[next_evaluation_++];
      calls_.evaluate(evaluation, registers_, cancellation);
      progress_.evaluations += static_cast<int>(evaluation.parts.size());
      next_ += evaluation.parts.size();
      continue;
    }
    if (instruction.opcode == Opcode::emit) {
      emit(instruction);
      if (on_emit) on_emit(progress_);
      --emits;
    } else {
      run(instruction);
    }
    ++next_;
  }
  progress_.done = next_ == program_.instructions.size();
  if (progress_.done) note_finite(progress_.step, registers_.source(program_.output), registers_.source(program_.output));
  require_finite();
  broken_ = false;
  progress_.network_seconds = calls_.seconds() - seconds_before;
  return progress_;
}

void Execution::run(const Instruction& instruction) {
  switch (instruction.opcode) {
    case Opcode::combine:
      return combine(instruction);
    case Opcode::noise:
      return noise(instruction);
    case Opcode::clip:
      return clip(instruction);
    case Opcode::threshold:
      return threshold(instruction);
    case Opcode::blend: {
      const at::Tensor mask = source(instruction, 1), a = source(instruction, 2), b = source(instruction, 3);
      target(instruction).copy_(b + mask * (a - b));
      return;
    }
    case Opcode::multiply: {
      const at::Tensor a = source(instruction, 1), b = source(instruction, 2);
      at::Tensor out = target(instruction);
      at::mul_out(out, a, b);
      return;
    }
    case Opcode::exponential: {
      // In float64: vector and scalar exponentials may differ in their last bit, and rounding it away keeps a sample the
      // same wherever it lies in the batch.
      const at::Tensor power = source(instruction, 1).to(at::kDouble) * instruction.operands[2] + instruction.operands[3];
      target(instruction).copy_(at::exp(power));
      return;
    }
    case Opcode::ratio:
      return ratio(instruction);
    case Opcode::evaluate:
    case Opcode::emit:
    case Opcode::guide:
      return;
  }
}

void Execution::combine(const Instruction& instruction) {
  CombineArguments arguments{};
  // Held until the sum is made: the target may be one of them, and be given another tensor.
  std::vector<at::Tensor> terms;
  arguments.terms_count = static_cast<int>((instruction.operands.size() - 1) / 2);
  for (int k = 0; k < arguments.terms_count; ++k) {
    const auto slot = static_cast<std::size_t>(1 + 2 * k);
    arguments.coefficients[k] = static_cast<float>(instruction.operands[slot]);
    terms.push_back(source(instruction, slot + 1));
    arguments.terms[k] = terms.back().const_data_ptr<float>();
  }
  const at::Tensor& out = target(instruction);
  arguments.out = out.mutable_data_ptr<float>();
  arguments.size = out.numel();
  const Operation operation("dpm::combine", terms, {out});
  launch_combine(calls_.device(), arguments);
}

void Execution::noise(const Instruction& instruction) {
  const at::Tensor& out = target(instruction);
  const Operation operation("dpm::normals", {}, {out});
  launch_normals(calls_.device(), {out.mutable_data_ptr<float>(), samples_.data(), shape_[0], shape_[1], shape_[2] * shape_[3], key_,
                                   static_cast<std::uint32_t>(instruction.operands[2]), static_cast<std::uint32_t>(instruction.operands[1]), true});
}

void Execution::clip(const Instruction& instruction) {
  const at::Tensor x = source(instruction, 1);
  at::Tensor out = target(instruction);
  const double low = instruction.operands[2], high = instruction.operands[3];
  if (!out.is_cpu()) {
    at::clamp_out(out, x, low, high);
    return;
  }
  const Operation operation("dpm::clip", {x}, {out});
  cpu::clip(x.const_data_ptr<float>(), static_cast<float>(low), static_cast<float>(high), out.numel(), out.mutable_data_ptr<float>());
}

void Execution::threshold(const Instruction& instruction) {
  const double low = instruction.operands[3], high = instruction.operands[4];
  const at::Tensor x = source(instruction, 1);
  // Sample by sample: libtorch's quantile refuses more than 16 million elements at once.
  std::vector<at::Tensor> limits;
  for (std::int64_t n = 0; n < shape_[0]; ++n) limits.push_back(at::quantile(x[n].abs().reshape({-1}), instruction.operands[2]));
  const at::Tensor limit = at::stack(limits).clamp(low, high).view({-1, 1, 1, 1});
  const at::Tensor result = at::minimum(at::maximum(x, -limit), limit) * (low / limit);
  target(instruction).copy_(result);
}

void Execution::ratio(const Instruction& instruction) {
  const at::Tensor a = source(instruction, 1), b = source(instruction, 2);
  // The kernel has read a sample before it writes it, so `out` may be `a` or `b`.
  const at::Tensor& out = target(instruction);
  const Operation operation("dpm::ratio", {a, b}, {out});
  launch_ratio(calls_.device(),
               {out.mutable_data_ptr<float>(), a.const_data_ptr<float>(), b.const_data_ptr<float>(), shape_[0], out.numel() / shape_[0],
                static_cast<Measure>(instruction.reg(3)), instruction.operands[4], instruction.operands[5]});
}

void Execution::emit(const Instruction& instruction) {
  registers_.show(instruction.reg(0), instruction.reg(1));
  progress_.step = static_cast<int>(instruction.operands[2]);
  note_finite(progress_.step, registers_.x(), registers_.clean());
  ++progress_.emits;
}

void Execution::note_finite(int step, const at::Tensor& x, const at::Tensor& clean) {
  const bool one = x.is_same(clean);
  if (calls_.device().is_cpu()) {
    const Operation operation("dpm::all_finite", {x, clean}, {});
    if (cpu::all_finite(x.const_data_ptr<float>(), x.numel()) && (one || cpu::all_finite(clean.const_data_ptr<float>(), clean.numel()))) return;
  }
  // NaN and infinity survive a sum in float64, which float32 numbers do not overflow.
  const auto sum = [](const at::Tensor& values) { return values.sum({1, 2, 3}, false, at::kDouble); };
  noted_.emplace_back(step, one ? sum(x) : sum(x) + sum(clean));
  if (calls_.device().is_cpu()) require_finite();
}

void Execution::require_finite() {
  for (const auto& [step, sums] : noted_) {
    const at::Tensor numbers = sums.to(at::kCPU);
    std::string samples;
    for (std::int64_t n = 0; n < numbers.numel(); ++n) {
      if (!std::isfinite(numbers.const_data_ptr<double>()[n])) samples += (samples.empty() ? "" : ", ") + std::to_string(n);
    }
    DPM_CHECK(samples.empty(), "DPM_NON_FINITE",
              "After step " + std::to_string(step) + " there are NaN or infinite numbers in sample " + samples +
                  ". Sample in float32 (`precision`), with less guidance or more steps; weights that are not finite themselves give nothing else.");
  }
  noted_.clear();
}

const Instruction& Execution::waiting() const {
  DPM_CHECK(waiting_, "DPM_INVALID_ARGUMENT", "This run is not waiting for a guide.");
  return program_.instructions[next_];
}

void Execution::answer(const at::Tensor& gradient) {
  const Instruction& instruction = waiting();
  DPM_CHECK(gradient.sizes() == at::IntArrayRef(shape_) && gradient.scalar_type() == at::kFloat, "DPM_INVALID_ARGUMENT",
            "Expected a float32 tensor of x's shape from guide " + std::to_string(instruction.reg(2)) + ".");
  const at::NoGradGuard no_grad;
  target(instruction).copy_(gradient);
  waiting_ = false;
  ++next_;
}

at::Tensor Execution::x() const {
  DPM_CHECK(registers_.x().defined(), "DPM_INVALID_ARGUMENT", "The program has not emitted anything yet.");
  return registers_.x().clone();
}

at::Tensor Execution::clean() const {
  DPM_CHECK(registers_.clean().defined(), "DPM_INVALID_ARGUMENT", "The program has not emitted anything yet.");
  return registers_.clean().clone();
}

at::Tensor Execution::guided() const { return source(waiting(), 1).clone(); }

at::Tensor Execution::output() const { return registers_.source(program_.output).clone(); }

}  // namespace dpm
