#include "parameters.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/as_strided.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "error.h"
#include "ops/noise_body.h"
#include "orthogonal.h"

namespace dpm {
namespace {

constexpr std::int64_t kAlignment = 16;  // floats: one cache line

// CRC-32 (IEEE 802.3), the key of a name.
std::uint32_t checksum(const std::string& text) {
  std::uint32_t crc = 0xFFFFFFFFu;
  for (const char character : text) {
    crc ^= static_cast<std::uint8_t>(character);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1u)));
  }
  return ~crc;
}

std::vector<std::int64_t> strides_of(const std::vector<std::int64_t>& shape) {
  if (shape.size() == 4) {
    return {shape[1] * shape[2] * shape[3], 1, shape[3] * shape[1], shape[1]};
  }
  std::vector<std::int64_t> strides(shape.size(), 1);
  for (std::size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

// Draws a parameter's values in the order of its shape.
void draw(const ParameterList::Entry& entry, Key key, float* out) {
  const std::uint32_t tag = checksum(entry.name);
  const bool uniform = entry.initializer.kind == Initializer::Kind::uniform;
  const auto scale = static_cast<float>(uniform || entry.initializer.kind == Initializer::Kind::normal ? entry.initializer.scale : 1);
  const auto mean = static_cast<float>(entry.initializer.mean);
  for (std::int64_t block = 0; block * 4 < entry.size; ++block) {
    const Words words = philox(static_cast<std::uint32_t>(block), tag, 0, static_cast<std::uint32_t>(Purpose::weights), key);
    const Normals normals = normals_of(words);
    const float draws[4] = {uniform ? uniform_of(words.w0) * 2 - 1 : normals.n0, uniform ? uniform_of(words.w1) * 2 - 1 : normals.n1,
                            uniform ? uniform_of(words.w2) * 2 - 1 : normals.n2, uniform ? uniform_of(words.w3) * 2 - 1 : normals.n3};
    for (int lane = 0; lane < 4 && block * 4 + lane < entry.size; ++lane) out[block * 4 + lane] = mean + scale * draws[lane];
  }
  if (entry.initializer.kind != Initializer::Kind::orthogonal) return;
  // Rows are the first axis, columns all others together.
  std::vector<double> matrix(out, out + entry.size);
  make_orthogonal(matrix, entry.shape[0], entry.size / entry.shape[0]);
  for (std::int64_t i = 0; i < entry.size; ++i) out[i] = static_cast<float>(entry.initializer.scale * matrix[static_cast<std::size_t>(i)]);
}

}  // namespace

ParameterIndex ParameterList::add(std::string name, std::vector<std::int64_t> shape, Initializer initializer) {
  return append(std::move(name), std::move(shape), initializer, true);
}

ParameterIndex ParameterList::add_statistic(std::string name, std::vector<std::int64_t> shape, Initializer initializer) {
  return append(std::move(name), std::move(shape), initializer, false);
}

ParameterIndex ParameterList::append(std::string name, std::vector<std::int64_t> shape, Initializer initializer, bool trained) {
  std::int64_t size = 1;
  for (const std::int64_t extent : shape) size *= extent;
  std::int64_t& end = trained ? trained_size_ : statistics_size_;
  entries_.push_back({std::move(name), std::move(shape), end, size, initializer, trained});
  end += (size + kAlignment - 1) / kAlignment * kAlignment;
  return entries_.size() - 1;
}

ParameterIndex ParameterList::find(const std::string& name) const {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].name == name) return i;
  }
  throw Error("DPM_INVALID_ARGUMENT", "The network has no parameter named \"" + name + "\".");
}

at::Tensor ParameterList::allocate(const at::Device& device) const {
  return at::zeros({trained_size_ + statistics_size_}, at::TensorOptions().dtype(at::kFloat).device(device));
}

std::vector<at::Tensor> ParameterList::views(const at::Tensor& flat) const {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> result;
  result.reserve(entries_.size());
  for (const Entry& entry : entries_) {
    const std::int64_t offset = entry.trained ? entry.offset : trained_size_ + entry.offset;
    result.push_back(at::as_strided(flat, entry.shape, strides_of(entry.shape), offset));
  }
  return result;
}

void ParameterList::initialize(const at::Tensor& flat, double seed) const {
  const at::NoGradGuard no_grad;
  const auto targets = views(flat);
  const Key key = key_of(seed);
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const Entry& entry = entries_[i];
    switch (entry.initializer.kind) {
      case Initializer::Kind::zeros:
        break;
      case Initializer::Kind::ones:
        targets[i].fill_(1.0);
        break;
      default: {
        const at::Tensor values = at::empty(entry.shape, at::TensorOptions().dtype(at::kFloat));
        draw(entry, key, values.mutable_data_ptr<float>());
        targets[i].copy_(values);
      }
    }
  }
}

}  // namespace dpm
