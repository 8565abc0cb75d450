#include "networks/network.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>

#include "error.h"

namespace dpm {
namespace {

void check_positive(std::int64_t value, const char* name) {
  DPM_CHECK(value >= 1, "DPM_INVALID_OPTION", "Expected at least 1 for the native setting `" + std::string(name) + "`.");
}

}  // namespace

std::string shape_text(at::IntArrayRef shape) {
  std::string joined;
  for (const std::int64_t extent : shape) joined += (joined.empty() ? "" : "×") + std::to_string(extent);
  return joined;
}

DataShape::DataShape(const Settings& settings)
    : input_channels(settings.integer("inputChannels")),
      condition_channels(settings.integer("conditionChannels")),
      output_channels(settings.integer("outputChannels")),
      height(settings.integer("height")),
      width(settings.integer("width")),
      classes(settings.integer("classes")),
      null_class(settings.flag("nullClass")) {
  // TypeScript has said this in its own words; here it keeps a mistake there from dividing by zero.
  check_positive(input_channels, "inputChannels");
  check_positive(output_channels, "outputChannels");
  check_positive(height, "height");
  check_positive(width, "width");
}

void Network::check_image(std::int64_t count, const at::Tensor& image) const {
  const std::int64_t channels = shape_.condition_channels;
  if (channels == 0) {
    DPM_CHECK(!image.defined(), "DPM_INVALID_ARGUMENT",
              "A conditioning `image` was given but the network takes none. Leave it out, or make the network with `conditionChannels`.");
    return;
  }
  const std::vector<std::int64_t> wanted{count, channels, shape_.height, shape_.width};
  DPM_CHECK(image.defined(), "DPM_INVALID_ARGUMENT", "The network sees an image beside x: give an `image` of shape " + shape_text(wanted) + ".");
  DPM_CHECK(image.sizes() == at::IntArrayRef(wanted) && image.scalar_type() == at::kFloat, "DPM_INVALID_ARGUMENT",
            "Expected a float32 tensor of shape " + shape_text(wanted) + " for the conditioning `image` but received " +
                (image.scalar_type() == at::kFloat ? "shape " + shape_text(image.sizes())
                                                   : std::string("elements of type ") + at::toString(image.scalar_type())) +
                ".");
}

void Network::check_classes(std::int64_t count, const at::Tensor& classes) const {
  if (shape_.classes == 0) {
    DPM_CHECK(!classes.defined(), "DPM_INVALID_ARGUMENT", "`classes` were given but the network is not class-conditional.");
    return;
  }
  DPM_CHECK(classes.defined() || null_class() >= 0, "DPM_INVALID_ARGUMENT",
            "The network is class-conditional and has no null class: give `classes`.");
  if (!classes.defined()) return;
  DPM_CHECK(classes.numel() == count, "DPM_INVALID_ARGUMENT",
            "Expected " + std::to_string(count) + " classes, one per image, but received " + std::to_string(classes.numel()) + ".");
  // The table is read without a bounds check.
  const std::int64_t last = shape_.classes - (shape_.null_class ? 0 : 1);
  const at::Tensor indices = classes.to(at::kCPU);
  const std::int64_t* values = indices.const_data_ptr<std::int64_t>();
  for (std::int64_t n = 0; n < indices.numel(); ++n) {
    DPM_CHECK(values[n] >= 0 && values[n] <= last, "DPM_INVALID_ARGUMENT",
              "Expected a whole number from 0 to " + std::to_string(last) + " for `classes[" + std::to_string(n) + "]` but received " +
                  std::to_string(values[n]) + "." + (shape_.null_class ? " " + std::to_string(last) + " is the null class." : ""));
  }
}

void Network::check(const at::Tensor& x, const Conditioning& conditioning) const {
  const bool fits = x.dim() == 4 && x.size(1) == shape_.input_channels && x.size(2) == shape_.height && x.size(3) == shape_.width;
  DPM_CHECK(fits, "DPM_INVALID_ARGUMENT",
            "Expected shape N×" + shape_text({shape_.input_channels, shape_.height, shape_.width}) + " for `x` but received " +
                shape_text(x.sizes()) + ".");
  DPM_CHECK(x.size(0) >= 1, "DPM_INVALID_ARGUMENT", "Expected at least one image for `x` but received none.");
  DPM_CHECK(
      conditioning.labels.dim() == 1 && conditioning.labels.size(0) == x.size(0), "DPM_INVALID_ARGUMENT",
      "Expected " + std::to_string(x.size(0)) + " time labels, one per image, but received " + std::to_string(conditioning.labels.numel()) + ".");
  check_image(x.size(0), conditioning.image);
  check_classes(x.size(0), conditioning.classes);
}

void WeightedNetwork::write(const std::string& name, const at::Tensor& value) {
  const at::NoGradGuard no_grad;
  const ParameterIndex index = network->parameters().find(name);
  DPM_CHECK(parameters[index].sizes() == value.sizes(), "DPM_INVALID_ARGUMENT",
            "The tensor for parameter \"" + name + "\" has another shape than the parameter.");
  parameters[index].copy_(value);
  for (const auto& follower : followers) follower[index].copy_(value);
  writes += 1;
}

std::int64_t Network::denoising_channels(std::int64_t channels) const {
  const std::vector<std::int64_t> shape = output_shape();
  DPM_CHECK(shape.size() == 3, "DPM_INVALID_ARGUMENT",
            "Expected a network that gives images but this one is a classifier: it gives " + shape_text(shape) +
                " numbers for each. Guide with it, or train it with the loss \"cross-entropy\".");
  const std::int64_t outputs = shape[0];
  DPM_CHECK(outputs == channels || outputs == 2 * channels, "DPM_INVALID_ARGUMENT",
            "Expected a network of " + std::to_string(channels) + " output channels, or twice as many with a learned variance, but it has " +
                std::to_string(outputs) + ".");
  return outputs;
}

Conditioning Network::prepare(Conditioning conditioning, std::int64_t count, const at::Device& device) const {
  conditioning.labels = conditioning.labels.to(device);
  if (!conditioning.classes.defined() && null_class() >= 0) conditioning.classes = at::full({count}, null_class(), at::kLong);
  if (conditioning.classes.defined()) conditioning.classes = conditioning.classes.to(device);
  if (conditioning.image.defined()) conditioning.image = conditioning.image.to(device).contiguous(at::MemoryFormat::ChannelsLast);
  return conditioning;
}

}  // namespace dpm
