#include "network_calls.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "error.h"
#include "ops/launch.h"

namespace dpm {
namespace {

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast;

// Examples first … first + length of `from`, and of their channels those from `channel` on, to examples `begin` … of `to`.
void copy_examples(const at::Tensor& to, std::int64_t begin, const at::Tensor& from, std::int64_t first, std::int64_t length, std::int64_t channel) {
  const std::int64_t channels = to.size(1);
  if (from.is_cpu() && from.scalar_type() == at::kFloat && from.size(1) == channels && from.is_contiguous(kChannelsLast)) {
    const std::int64_t size = to.numel() / to.size(0);
    std::memcpy(to.mutable_data_ptr<float>() + begin * size, from.const_data_ptr<float>() + first * size,
                sizeof(float) * static_cast<std::size_t>(length * size));
    return;
  }
  to.narrow(0, begin, length).copy_(from.narrow(0, first, length).narrow(1, channel, channels));
}

}  // namespace

bool Evaluation::precedes(const Evaluation& other) const {
  const auto writes_x = [&](const Part& part) { return part.out == x || part.variance == x; };
  return network == other.network && x == other.x && c_in == other.c_in && label == other.label && parts.size() == 1 && other.parts.size() == 1 &&
         parts[0].given != other.parts[0].given && !writes_x(parts[0]);
}

NetworkCalls::NetworkCalls(std::vector<std::shared_ptr<WeightedNetwork>> networks, Given given, const std::vector<std::int64_t>& shape)
    : networks_(std::move(networks)),
      given_(std::move(given)),
      device_(networks_.at(0)->device()),
      count_(shape[0]),
      channels_(shape[1]),
      label_(at::zeros({1}, at::TensorOptions().dtype(at::kFloat).device(device_))),
      inputs_(2) {
  for (const auto& network : networks_) {
    DPM_CHECK(network->device() == device_, "DPM_INVALID_ARGUMENT",
              "Expected all networks of a run on one device but they are on " + device_.str() + " and " + network->device().str() + ".");
  }
  DPM_CHECK(given_.chunk >= 1, "DPM_INVALID_ARGUMENT", "Expected a `chunk` of at least 1.");
  // Every network call has this shape, so ask once, before the run.
  const at::Tensor x = at::zeros({1}).expand(shape);
  const Conditioning conditioning{at::zeros({count_}), given_.classes, given_.image};
  for (const auto& network : networks_) network->network->check(x, conditioning);
  if (given_.image.defined()) given_.image = given_.image.to(device_).contiguous(kChannelsLast);
}

at::Tensor NetworkCalls::chunk_of(const at::Tensor& whole, std::int64_t begin) const {
  const std::int64_t length = std::min(given_.chunk, count_ - begin);
  const at::Tensor part = whole.narrow(0, begin, length);
  if (length == given_.chunk) return part;
  std::vector<std::int64_t> shape = whole.sizes().vec();
  shape[0] = given_.chunk;
  const at::Tensor padded = at::empty(shape, whole.options(), whole.suggest_memory_format()).zero_();
  padded.narrow(0, 0, length).copy_(part);
  return padded;
}

const Conditioning& NetworkCalls::conditioning(const Evaluation& evaluation, std::int64_t begin) {
  const std::vector<Evaluation::Part>& parts = evaluation.parts;
  const int conditions = (parts.size() > 1 ? 2 : 0) + (parts[0].given ? 1 : 0);
  const auto [found, fresh] = conditionings_.try_emplace({evaluation.network, conditions, begin});
  Conditioning& result = found->second;
  if (!fresh) return result;
  const Network& network = this->network(evaluation.network);
  const std::int64_t batch = given_.chunk * static_cast<std::int64_t>(parts.size());
  std::vector<at::Tensor> classes, images;
  for (const auto& part : parts) {
    if (given_.classes.defined())
      classes.push_back(part.given ? chunk_of(given_.classes, begin) : at::full({given_.chunk}, network.null_class(), at::kLong));
    if (given_.image.defined()) images.push_back(chunk_of(given_.image, begin));
  }
  result.labels = label_.expand({batch});
  if (!classes.empty()) result.classes = at::cat(classes);
  if (!images.empty()) result.image = images.size() == 1 ? images[0] : at::cat(images);
  result = network.prepare(std::move(result), batch, device_);
  return result;
}

at::Tensor NetworkCalls::input(const Evaluation& evaluation, const at::Tensor& x, std::int64_t begin) {
  const std::int64_t chunk = given_.chunk, length = std::min(chunk, count_ - begin), parts = static_cast<std::int64_t>(evaluation.parts.size());
  if (parts == 1 && length == chunk && evaluation.c_in == 1) return length == count_ ? x : x.narrow(0, begin, length);
  at::Tensor& made = inputs_[static_cast<std::size_t>(parts - 1)];
  if (!made.defined()) {
    std::vector<std::int64_t> shape = x.sizes().vec();
    shape[0] = parts * chunk;
    made = at::empty(shape, x.options(), kChannelsLast).zero_();
  }
  const std::int64_t size = x.numel() / count_;
  for (std::int64_t part = 0; part < parts; ++part) {
    CombineArguments scaled{};
    scaled.out = made.mutable_data_ptr<float>() + part * chunk * size;
    scaled.terms[0] = x.const_data_ptr<float>() + begin * size;
    scaled.coefficients[0] = static_cast<float>(evaluation.c_in);
    scaled.terms_count = 1;
    scaled.size = length * size;
    launch_combine(device_, scaled);
    if (length < chunk) made.narrow(0, part * chunk + length, chunk - length).zero_();
  }
  return made;
}

void NetworkCalls::evaluate(const Evaluation& evaluation, Registers& registers, const Cancellation* cancellation) {
  const WeightedNetwork& network = *networks_[static_cast<std::size_t>(evaluation.network)];
  const at::Tensor x = registers.source(evaluation.x);
  const float label = static_cast<float>(evaluation.label);
  if (device_.is_cpu()) {
    *label_.mutable_data_ptr<float>() = label;
  } else {
    label_.fill_(label);
  }
  const std::int64_t chunk = given_.chunk;
  for (std::int64_t begin = 0; begin < count_; begin += chunk) {
    const std::int64_t length = std::min(chunk, count_ - begin);
    const at::Tensor seen = input(evaluation, x, begin);
    const Conditioning& told = conditioning(evaluation, begin);
    Pass pass{network.parameters, nullptr, cancellation};
    pass.precision = given_.precision;
    const auto started = std::chrono::steady_clock::now();
    at::Tensor result = network.network->forward(pass, seen, told);
    seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    const bool whole = evaluation.parts.size() == 1 && length == chunk && length == count_;
    // Taken as it is where nobody else knows of it: a network may hand out what it keeps.
    if (whole && result.use_count() == 1 && result.storage().use_count() == 1 && result.scalar_type() == at::kFloat && result.size(1) == channels_ &&
        result.is_contiguous(kChannelsLast)) {
      registers.put(evaluation.parts[0].out, std::move(result));
      continue;
    }
    for (std::size_t p = 0; p < evaluation.parts.size(); ++p) {
      const Evaluation::Part& part = evaluation.parts[p];
      const std::int64_t first = static_cast<std::int64_t>(p) * chunk;
      copy_examples(registers.target(part.out), begin, result, first, length, 0);
      if (part.variance >= 0) copy_examples(registers.target(part.variance), begin, result, first, length, channels_);
    }
  }
}

}  // namespace dpm
