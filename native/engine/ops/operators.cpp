#include "ops/operators.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/huber_loss.h>
#include <ATen/ops/hypot.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/sqrt.h>
#include <ATen/ops/std.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <vector>

#include "ops/dropout_body.h"
#include "ops/launch.h"

namespace dpm::operators {
namespace {

at::Tensor over(const void* memory, at::IntArrayRef shape, const at::Device& device, at::ScalarType type = at::kFloat) {
  return at::from_blob(const_cast<void*>(memory), shape, at::TensorOptions().dtype(type).device(device));
}

// Of every row one number, N×1×1, rounded as the kernel rounds it.
template <typename Number>
at::Tensor of_rows(const Row* rows, std::int64_t count, const at::Device& device, const Number& number) {
  std::vector<double> numbers;
  for (std::int64_t n = 0; n < count; ++n) numbers.push_back(number(rows[n]));
  return at::tensor(numbers, at::kDouble).view({count, 1, 1}).to(device, at::kFloat);
}

// The loss of every element, of differences in float64.
at::Tensor elements_of(LossKind kind, double scale, const at::Tensor& output, const at::Tensor& target) {
  const at::Tensor difference = output - target;
  switch (kind) {
    case LossKind::l1:
      return difference.abs();
    case LossKind::huber:
      return at::huber_loss(output, target, at::Reduction::None, scale);
    case LossKind::pseudo_huber:
      return at::sqrt(difference.square() + scale * scale) - scale;
    case LossKind::l2:
      break;
  }
  return difference.square();
}

}  // namespace

void noise_step(const at::Device& device, const NoiseStepArguments& a) {
  const at::NoGradGuard no_grad;
  const at::Tensor noise = at::empty({a.count, a.channels, a.spatial}, at::TensorOptions().dtype(at::kFloat).device(device));
  for (std::int64_t n = 0; n < a.count; ++n) {
    launch_normals(device, {noise.mutable_data_ptr<float>() + n * a.channels * a.spatial, a.examples + n, 1, a.channels, a.spatial, a.key,
                            static_cast<std::uint32_t>(Purpose::training), counter_of(a.epochs[n]), false});
  }
  at::Tensor clean = over(a.images, {a.count, a.channels, a.spatial}, device, a.bytes ? at::kByte : at::kFloat);
  if (a.bytes) clean = clean.to(at::kFloat) * (1.0f / 127.5f) - 1.0f;
  const auto column = [&](auto number) { return of_rows(a.rows, a.count, device, number); };
  const auto mix = [&](float* out, const at::Tensor& of_clean, const at::Tensor& of_noise) {
    over(out, {a.count, a.spatial, a.channels}, device).copy_((of_clean * clean + of_noise * noise).transpose(1, 2));
  };
  mix(a.input, column([](const Row& row) { return row.c_in * row.alpha; }), column([](const Row& row) { return row.c_in * row.sigma; }));
  mix(a.target, column([](const Row& row) { return row.target_clean; }), column([](const Row& row) { return row.target_noise; }));
}

void combine(const at::Device& device, const CombineArguments& a) {
  const at::NoGradGuard no_grad;
  // The target may be one of the terms: nothing is written before all are read.
  at::Tensor sum = at::zeros_like(over(a.out, {a.size}, device));
  for (int k = 0; k < a.terms_count; ++k) sum = sum + over(a.terms[k], {a.size}, device) * a.coefficients[k];
  over(a.out, {a.size}, device).copy_(sum);
}

void ratio(const at::Device& device, const RatioArguments& a) {
  const at::NoGradGuard no_grad;
  const auto measured = [&](const float* values) {
    const at::Tensor samples = over(values, {a.count, a.size}, device).to(at::kDouble);
    return a.measure == Measure::norm ? at::linalg_vector_norm(samples, 2, at::IntArrayRef{1}, true)
                                      : at::std(samples, at::OptionalIntArrayRef(at::IntArrayRef{1}), 1, true);
  };
  const at::Tensor above = measured(a.a), below = measured(a.b);
  const at::Tensor value = at::pow(above / below, a.power) * a.factor;
  over(a.out, {a.count, a.size}, device).copy_(at::where(below == 0, at::zeros_like(value), value));
}

void loss(const at::Device& device, const LossArguments& a) {
  const at::AutoGradMode with_gradient(true);
  const auto given = [&](const float* values) { return over(values, {a.count, a.size}, device).to(at::kDouble); };
  const at::Tensor output = given(a.output).requires_grad_(true);
  const at::Tensor losses = elements_of(a.kind, a.scale, output, given(a.target)).mean(1);
  const at::Tensor weights = of_rows(a.rows, a.count, device, [&](const Row& row) { return row.weight / a.total; }).view({-1}).to(at::kDouble);
  const at::Tensor gradient = torch::autograd::grad({losses}, {output}, {weights})[0].to(at::kFloat);
  const at::Tensor numbers = losses.detach().to(at::kCPU);
  std::copy_n(numbers.const_data_ptr<double>(), a.count, a.losses);
  const at::NoGradGuard no_grad;
  if (a.size > 0) {
    // The bounded gradients of l1 and huber would hide it.
    const at::Tensor first = gradient.select(1, 0), spoiled = losses.to(at::kFloat);
    first.copy_(at::where(losses.isfinite(), first, spoiled));
  }
  over(a.gradient, {a.count, a.size}, device).copy_(gradient);
}

void optimizer(const at::Device& device, const OptimizerArguments& a) {
  const at::NoGradGuard no_grad;
  const auto flat = [&](float* memory) { return over(memory, {a.size}, device); };
  const at::Tensor values = flat(a.values), gradients = flat(a.gradients), first = flat(a.first), second = flat(a.second);
  const at::Tensor gradient = gradients * a.gradient_scale + values * a.decay;
  gradients.zero_();
  first.mul_(a.beta1).add_(gradient * (1.0f - a.beta1));
  second.mul_(a.beta2).add_(gradient * (1.0f - a.beta2) * gradient);
  const at::Tensor denominator = at::sqrt(second) * a.second_correction + a.epsilon;
  values.copy_(values * a.shrink - first * a.step_size / denominator);
  for (int k = 0; k < a.averages_count; ++k) flat(a.averages[k]).add_((values - flat(a.averages[k])) * (1.0f - a.keep[k]));
}

void dropout(const at::Device& device, const DropoutArguments& a) {
  const at::NoGradGuard no_grad;
  // The mask that the kernel never stores, drawn value by value.
  const at::Tensor mask = at::empty({a.count, a.size}, at::kFloat);
  float* const factors = mask.mutable_data_ptr<float>();
  for (std::int64_t n = 0; n < a.count; ++n) {
    for (std::int64_t block = 0; 4 * block < a.size; ++block) {
      float kept[4];
      dropout_block(a, counter_of(a.examples[n]), counter_of(a.epochs[n]), block, dropout_factor(a), kept);
      std::copy_n(kept, std::min<std::int64_t>(4, a.size - 4 * block), factors + n * a.size + 4 * block);
    }
  }
  over(a.out, {a.count, a.size}, device).copy_(over(a.in, {a.count, a.size}, device) * mask.to(device));
}

}  // namespace dpm::operators
