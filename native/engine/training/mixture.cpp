#include "training/mixture.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/tensor.h>

#include <numeric>
#include <string>

#include "error.h"
#include "ops/launch.h"
#include "profile.h"

namespace dpm {
namespace {

Mixture mix_by(const Batch& batch, const std::vector<Row>& rows, const at::Device& device) {
  const std::int64_t count = batch.images.size(0), channels = batch.images.size(1), spatial = batch.images.size(2) * batch.images.size(3);
  const std::vector<double>& examples = batch.noise_examples.empty() ? batch.examples : batch.noise_examples;
  const std::vector<double>& epochs = batch.noise_examples.empty() ? batch.epochs : batch.noise_epochs;
  const auto fits = [count](const auto& list) { return static_cast<std::int64_t>(list.size()) == count; };
  DPM_CHECK(fits(rows) && fits(batch.examples) && fits(batch.epochs), "DPM_INVALID_ARGUMENT", "Expected one row, example and epoch per image.");
  DPM_CHECK(fits(examples) && fits(epochs), "DPM_INVALID_ARGUMENT", "Expected one `noiseExamples` and one `noiseEpochs` per image.");
  const auto options = at::TensorOptions().dtype(at::kFloat).device(device).memory_format(at::MemoryFormat::ChannelsLast);
  const Mixture result{at::empty(batch.images.sizes(), options), at::empty(batch.images.sizes(), options)};
  const at::Tensor images = batch.images.to(device).contiguous();
  const Operation operation("dpm::noise_step", {images}, {result.input, result.target});
  launch_noise_step(
      device, {images.const_data_ptr(), images.scalar_type() == at::kByte, result.input.mutable_data_ptr<float>(),
               result.target.mutable_data_ptr<float>(), rows.data(), examples.data(), epochs.data(), count, channels, spatial, key_of(batch.seed)});
  return result;
}

}  // namespace

at::Tensor column_of(const std::vector<Row>& rows, const std::vector<std::int64_t>& indices, double Row::*column, const at::Device& device) {
  std::vector<double> values;
  for (const std::int64_t index : indices) values.push_back(rows[static_cast<std::size_t>(index)].*column);
  return at::tensor(values, at::TensorOptions().dtype(at::kDouble)).view({-1, 1, 1, 1}).to(device);
}

Mixture mix(const Batch& batch, const at::Device& device) { return mix_by(batch, batch.rows, device); }

Parts parts_of(const Batch& batch, const at::Device& device) {
  Row apart{};
  apart.alpha = apart.c_in = apart.target_noise = 1;
  const Mixture mixture = mix_by(batch, std::vector<Row>(static_cast<std::size_t>(batch.images.size(0)), apart), device);
  return {mixture.input, mixture.target};
}

Mixture mix_through(const ForwardStep& step, const Batch& batch, Pass& pass, const at::Tensor& labels) {
  const at::Device device = labels.device();
  constexpr std::int64_t fields = sizeof(ForwardStepNumbers) / sizeof(double);
  const std::int64_t count = batch.images.size(0);
  DPM_CHECK(static_cast<std::int64_t>(batch.forward_step.size()) == fields * count, "DPM_INVALID_ARGUMENT",
            "Expected " + std::to_string(fields) + " numbers of the forward step per image.");
  const at::Tensor numbers = at::tensor(batch.forward_step, at::TensorOptions().dtype(at::kDouble)).view({count, fields}).to(device, at::kFloat);
  const auto column = [&](std::int64_t index) { return numbers.select(1, index).view({-1, 1, 1, 1}); };
  std::vector<std::int64_t> all(static_cast<std::size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  const auto of_rows = [&](double Row::*field) { return column_of(batch.rows, all, field, device).to(at::kFloat); };

  const Parts parts = parts_of(batch, device);
  const at::Tensor here = step.encode(pass, parts.clean, labels, column(1));
  const at::Tensor before = step.encode(pass, parts.clean, numbers.select(1, 0), column(2));
  const at::Tensor input = of_rows(&Row::c_in) * (of_rows(&Row::alpha) * here + of_rows(&Row::sigma) * parts.noise);
  const at::Tensor target = of_rows(&Row::target_clean) * here + of_rows(&Row::target_noise) * parts.noise + column(3) * (before - here);
  return {input.contiguous(at::MemoryFormat::ChannelsLast), target.contiguous(at::MemoryFormat::ChannelsLast)};
}

at::Tensor pairing_costs(const Batch& batch) {
  const at::NoGradGuard no_grad;
  const Parts parts = parts_of(batch, at::Device(at::kCPU));
  const at::Tensor clean = parts.clean.flatten(1), noise = parts.noise.flatten(1);
  const auto squares = [](const at::Tensor& x) { return x.square().sum(1, false, at::kDouble); };
  const at::Tensor products = at::matmul(clean, noise.t()).to(at::kDouble);
  return (squares(clean).unsqueeze(1) + squares(noise).unsqueeze(0) - 2 * products).clamp_min(0).contiguous();
}

}  // namespace dpm
