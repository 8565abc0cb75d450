#include "execution.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/full.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/quantile.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "ops/launch.h"
#include "profile.h"

namespace dpm {
namespace {

at::Tensor prepare(const at::Tensor& input, const at::Device& device) {
  const at::Tensor x = input.to(device, at::kFloat);
  return x.contiguous(at::MemoryFormat::ChannelsLast).clone(at::MemoryFormat::ChannelsLast);
}

}  // namespace

Execution::Execution(std::vector<std::shared_ptr<WeightedNetwork>> networks, Program program, const std::vector<at::Tensor>& inputs, Options options)
    : networks_(std::move(networks)),
      program_(std::move(program)),
      options_(std::move(options)),
      registers_(static_cast<std::size_t>(program_.registers)),
      device_(networks_.at(0)->device()) {
  const at::NoGradGuard no_grad;
  DPM_CHECK(inputs.size() == program_.inputs.size() && !inputs.empty(), "DPM_INVALID_ARGUMENT",
            "The program has " + std::to_string(program_.inputs.size()) + " inputs but was given " + std::to_string(inputs.size()) + ".");
  DPM_CHECK(inputs[0].dim() == 4, "DPM_INVALID_ARGUMENT", "Expected tensors of shape N×C×H×W for the program's inputs.");
  for (const auto& network : networks_) {
    DPM_CHECK(network->device() == device_, "DPM_INVALID_ARGUMENT",
              "Expected all networks of a run on one device but they are on " + device_.str() + " and " + network->device().str() + ".");
  }
  shape_ = inputs[0].sizes().vec();
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    DPM_CHECK(inputs[i].sizes() == at::IntArrayRef(shape_), "DPM_INVALID_ARGUMENT", "Expected inputs of one shape for the program.");
    registers_[static_cast<std::size_t>(program_.inputs[i])] = prepare(inputs[i], device_);
  }
  DPM_CHECK(static_cast<std::int64_t>(options_.samples.size()) == shape_[0], "DPM_INVALID_ARGUMENT", "Expected one sample key per image.");
  DPM_CHECK(options_.chunk >= 1, "DPM_INVALID_ARGUMENT", "Expected a `chunk` of at least 1.");
  // Every network call has this shape, so ask once, before the run.
  const Conditioning conditioning{at::zeros({shape_[0]}), options_.classes, options_.image};
  for (const auto& network : networks_) network->network->check(inputs[0], conditioning);
  if (options_.image.defined()) options_.image = options_.image.to(device_).contiguous(at::MemoryFormat::ChannelsLast);
  for (const Instruction& instruction : program_.instructions) {
    if (instruction.opcode != Opcode::evaluate) continue;
    const Network& network = *networks_[static_cast<std::size_t>(instruction.operands[2])]->network;
    const std::int64_t outputs = network.denoising_channels(shape_[1]);
    DPM_CHECK(instruction.operands[6] < 0 || outputs == 2 * shape_[1], "DPM_INVALID_ARGUMENT",
              "The program asks the network for its variance, but the network has not learned one: it has " + std::to_string(outputs) +
                  " output channels for images of " + std::to_string(shape_[1]) + ". Train it with a learned variance, or sample with a fixed one.");
    if (instruction.operands[3] != 0) continue;
    DPM_CHECK(network.null_class() >= 0 || !options_.classes.defined(), "DPM_INVALID_ARGUMENT",
              "The program asks the network without a class, as guidance does, but the network has no null class. Train it with `nullClass`, or "
              "sample without guidance.");
  }
}

at::Tensor Execution::target(int index) {
  at::Tensor& slot = registers_[static_cast<std::size_t>(index)];
  if (!slot.defined() || slot.is_same(emitted_x_) || slot.is_same(emitted_clean_)) {
    slot = at::empty(shape_, at::TensorOptions().dtype(at::kFloat).device(device_).memory_format(at::MemoryFormat::ChannelsLast));
  }
  return slot;
}

at::Tensor Execution::source(int index) const {
  const at::Tensor& slot = registers_[static_cast<std::size_t>(index)];
  DPM_CHECK(slot.defined(), "DPM_INVALID_ARGUMENT", "The program reads register " + std::to_string(index) + " before it is written.");
  return slot;
}

Execution::Progress Execution::advance(std::int64_t emits, const std::function<void(const Progress&)>& on_emit, const Cancellation* cancellation) {
  DPM_CHECK(!broken_, "DPM_INVALID_ARGUMENT", "This run was cancelled or failed and cannot go on. Start another.");
  DPM_CHECK(!waiting_, "DPM_INVALID_ARGUMENT",
            "This run waits for the answer of guide " + std::to_string(waiting_ ? waiting().reg(2) : 0) + ". Give it before the run goes on.");
  const at::NoGradGuard no_grad;
  const PrecisionScope scope(options_.precision, device_);
  broken_ = true;
  progress_.emits = 0;
  progress_.guide.reset();
  while (next_ < program_.instructions.size() && emits > 0) {
    if (cancellation) cancellation->throw_if_requested();
    const Instruction& instruction = program_.instructions[next_];
    if (instruction.opcode == Opcode::guide) {
      source(instruction.reg(1));
      waiting_ = true;
      progress_.guide = {instruction.reg(2), instruction.operands[3], instruction.operands[4], instruction.operands[5]};
      break;
    }
    if (instruction.opcode == Opcode::emit) {
      emitted_x_ = source(instruction.reg(0));
      emitted_clean_ = source(instruction.reg(1));
      progress_.step = static_cast<int>(instruction.operands[2]);
      note_finite(progress_.step, emitted_x_, emitted_clean_);
      ++progress_.emits;
      if (on_emit) on_emit(progress_);
      --emits;
    } else {
      run(instruction, cancellation);
    }
    ++next_;
  }
  progress_.done = next_ == program_.instructions.size();
  if (progress_.done) note_finite(progress_.step, source(program_.output), source(program_.output));
  require_finite();
  broken_ = false;
  return progress_;
}

void Execution::run(const Instruction& instruction, const Cancellation* cancellation) {
  switch (instruction.opcode) {
    case Opcode::evaluate:
      return evaluate(instruction, cancellation);
    case Opcode::combine:
      return combine(instruction);
    case Opcode::noise:
      return noise(instruction);
    case Opcode::clip: {
      const at::Tensor x = source(instruction.reg(1));
      at::Tensor out = target(instruction.reg(0));
      at::clamp_out(out, x, instruction.operands[2], instruction.operands[3]);
      return;
    }
    case Opcode::threshold:
      return threshold(instruction);
    case Opcode::blend: {
      const at::Tensor mask = source(instruction.reg(1)), a = source(instruction.reg(2)), b = source(instruction.reg(3));
      target(instruction.reg(0)).copy_(b + mask * (a - b));
      return;
    }
    case Opcode::multiply: {
      const at::Tensor a = source(instruction.reg(1)), b = source(instruction.reg(2));
      at::Tensor out = target(instruction.reg(0));
      at::mul_out(out, a, b);
      return;
    }
    case Opcode::exponential: {
      // In float64: vector and scalar exponentials may differ in their last bit, and rounding it away keeps a sample the
      // same wherever it lies in the batch.
      const at::Tensor power = source(instruction.reg(1)).to(at::kDouble) * instruction.operands[2] + instruction.operands[3];
      target(instruction.reg(0)).copy_(at::exp(power));
      return;
    }
    case Opcode::ratio:
      return ratio(instruction);
    case Opcode::emit:
    case Opcode::guide:
      return;
  }
}

at::Tensor Execution::chunk_of(const at::Tensor& whole, std::int64_t begin) const {
  const std::int64_t length = std::min(options_.chunk, shape_[0] - begin);
  const at::Tensor part = whole.narrow(0, begin, length);
  if (length == options_.chunk) return part;
  // The same shape at every call: kernels may choose other sums for another shape, and a sample must not depend on how
  // many others were drawn with it.
  std::vector<std::int64_t> shape = whole.sizes().vec();
  shape[0] = options_.chunk;
  const at::Tensor padded = at::zeros(shape, whole.options().memory_format(whole.suggest_memory_format()));
  padded.narrow(0, 0, length).copy_(part);
  return padded;
}

void Execution::evaluate(const Instruction& instruction, const Cancellation* cancellation) {
  const WeightedNetwork& network = *networks_[static_cast<std::size_t>(instruction.operands[2])];
  const bool given = instruction.operands[3] != 0;
  const double c_in = instruction.operands[4], label = instruction.operands[5];
  const at::Tensor x = source(instruction.reg(1)), out = target(instruction.reg(0));
  const at::Tensor variance = instruction.operands[6] < 0 ? at::Tensor() : target(instruction.reg(6));
  const std::int64_t channels = shape_[1];
  const std::int64_t count = shape_[0], chunk = options_.chunk;
  for (std::int64_t begin = 0; begin < count; begin += chunk) {
    const std::int64_t length = std::min(chunk, count - begin);
    at::Tensor part = chunk_of(x, begin);
    Conditioning conditioning;
    conditioning.labels = at::full({chunk}, label, at::TensorOptions().dtype(at::kFloat).device(device_));
    if (given && options_.classes.defined()) conditioning.classes = chunk_of(options_.classes, begin);
    if (options_.image.defined()) conditioning.image = chunk_of(options_.image, begin);
    conditioning = network.network->prepare(std::move(conditioning), chunk, device_);
    if (c_in != 1) part = part * c_in;
    Pass pass{network.parameters, nullptr, cancellation};
    const at::Tensor result = network.network->forward(pass, part, conditioning).narrow(0, 0, length);
    out.narrow(0, begin, length).copy_(result.narrow(1, 0, channels));
    if (variance.defined()) variance.narrow(0, begin, length).copy_(result.narrow(1, channels, channels));
  }
  ++progress_.evaluations;
}

void Execution::combine(const Instruction& instruction) {
  CombineArguments arguments{};
  // Held until the sum is made: the target may be one of them, and be given another tensor.
  std::vector<at::Tensor> terms;
  arguments.terms_count = static_cast<int>((instruction.operands.size() - 1) / 2);
  for (int k = 0; k < arguments.terms_count; ++k) {
    const auto slot = static_cast<std::size_t>(1 + 2 * k);
    arguments.coefficients[k] = static_cast<float>(instruction.operands[slot]);
    terms.push_back(source(instruction.reg(slot + 1)));
    arguments.terms[k] = terms.back().const_data_ptr<float>();
  }
  const at::Tensor out = target(instruction.reg(0));
  arguments.out = out.mutable_data_ptr<float>();
  arguments.size = out.numel();
  const Operation operation("dpm::combine", terms, {out});
  launch_combine(device_, arguments);
}

void Execution::noise(const Instruction& instruction) {
  const at::Tensor out = target(instruction.reg(0));
  const Operation operation("dpm::normals", {}, {out});
  launch_normals(device_, {out.mutable_data_ptr<float>(), options_.samples.data(), shape_[0], shape_[1], shape_[2] * shape_[3], key_of(options_.seed),
                           static_cast<std::uint32_t>(instruction.operands[2]), static_cast<std::uint32_t>(instruction.operands[1]), true});
}

void Execution::threshold(const Instruction& instruction) {
  const double low = instruction.operands[3], high = instruction.operands[4];
  const at::Tensor x = source(instruction.reg(1));
  // Sample by sample: libtorch's quantile refuses more than 16 million elements at once.
  std::vector<at::Tensor> limits;
  for (std::int64_t n = 0; n < shape_[0]; ++n) limits.push_back(at::quantile(x[n].abs().reshape({-1}), instruction.operands[2]));
  const at::Tensor limit = at::stack(limits).clamp(low, high).view({-1, 1, 1, 1});
  const at::Tensor result = at::minimum(at::maximum(x, -limit), limit) * (low / limit);
  target(instruction.reg(0)).copy_(result);
}

void Execution::ratio(const Instruction& instruction) {
  const at::Tensor a = source(instruction.reg(1)), b = source(instruction.reg(2));
  // The kernel has read a sample before it writes it, so `out` may be `a` or `b`.
  const at::Tensor out = target(instruction.reg(0));
  const Operation operation("dpm::ratio", {a, b}, {out});
  launch_ratio(device_, {out.mutable_data_ptr<float>(), a.const_data_ptr<float>(), b.const_data_ptr<float>(), shape_[0], out.numel() / shape_[0],
                         static_cast<Measure>(instruction.reg(3)), instruction.operands[4], instruction.operands[5]});
}

void Execution::note_finite(int step, const at::Tensor& x, const at::Tensor& clean) {
  // NaN and infinity survive a sum in float64, which float32 numbers do not overflow.
  const auto sum = [](const at::Tensor& values) { return values.sum({1, 2, 3}, false, at::kDouble); };
  noted_.emplace_back(step, x.is_same(clean) ? sum(x) : sum(x) + sum(clean));
  if (device_.is_cpu()) require_finite();
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
  target(instruction.reg(0)).copy_(gradient);
  waiting_ = false;
  ++next_;
}

at::Tensor Execution::x() const {
  DPM_CHECK(emitted_x_.defined(), "DPM_INVALID_ARGUMENT", "The program has not emitted anything yet.");
  return emitted_x_.clone();
}

at::Tensor Execution::clean() const {
  DPM_CHECK(emitted_clean_.defined(), "DPM_INVALID_ARGUMENT", "The program has not emitted anything yet.");
  return emitted_clean_.clone();
}

at::Tensor Execution::guided() const { return source(waiting().reg(1)).clone(); }

at::Tensor Execution::output() const { return source(program_.output).clone(); }

}  // namespace dpm
