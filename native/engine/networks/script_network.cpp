#include "networks/script_network.h"

#include <ATen/ops/zeros.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>

#include <algorithm>
#include <exception>
#include <map>
#include <unordered_map>

#include "error.h"

namespace dpm {
namespace {

// What libtorch says, without its C++ stack.
std::string first_lines(const std::string& text) {
  const std::size_t end = std::min(text.find("\nException raised from"), std::min<std::size_t>(text.size(), 1500));
  return text.substr(0, end);
}

// The usual names of arguments, for what each is.
const std::map<std::string, std::string>& usual_names() {
  static const auto* const names = new std::map<std::string, std::string>{
      {"t", "time"},        {"time", "time"},        {"times", "time"},           {"timestep", "time"},   {"timesteps", "time"},
      {"sigma", "time"},    {"sigmas", "time"},      {"noise_labels", "time"},    {"time_cond", "time"},  {"labels", "time"},
      {"y", "classes"},     {"classes", "classes"},  {"class_labels", "classes"}, {"condition", "image"}, {"image", "image"},
      {"low_res", "image"}, {"cond_image", "image"},
  };
  return *names;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

}  // namespace

ScriptNetwork::ScriptNetwork(const Settings& settings)
    : Network(settings), file_(settings.text("file")), whole_times_(settings.text("timeType") == "int64") {
  try {
    module_ = torch::jit::load(file_, at::Device(at::kCPU), false);
  } catch (const std::exception& error) {
    throw Error("DPM_FILE_INVALID", file_ + " is no TorchScript module (torch.jit.save): " + first_lines(error.what()));
  }
  find_tensors();
  find_roles(settings);
}

void ScriptNetwork::find_tensors() {
  std::unordered_map<const at::TensorImpl*, ParameterIndex> known;
  for (const auto& part : module_.named_modules()) {
    const auto owner = part.value._ivalue();
    const auto type = owner->type();
    for (std::size_t slot = 0; slot < type->numAttributes(); ++slot) {
      const bool trained = type->is_parameter(slot);
      const c10::IValue value = owner->getSlot(slot);
      if (!value.isTensor() || !value.toTensor().defined() || !(trained || type->is_buffer(slot))) continue;
      const at::Tensor tensor = value.toTensor();
      const std::string name = (part.name.empty() ? "" : part.name + ".") + type->getAttributeName(slot);
      // Counts and indices stay in the module as they are.
      if (!trained && !tensor.is_floating_point()) continue;
      DPM_CHECK(tensor.scalar_type() == at::kFloat, "DPM_FILE_INVALID",
                "Expected float32 for \"" + name + "\" in " + file_ + " but found " + at::toString(tensor.scalar_type()) +
                    ". Export the module after `.float()`.");
      const auto found = known.find(tensor.unsafeGetTensorImpl());
      if (found != known.end()) {
        places_.push_back({owner, slot, found->second});
        continue;
      }
      const std::vector<std::int64_t> shape = tensor.sizes().vec();
      const ParameterIndex index = trained ? parameters_.add(name, shape, {}) : parameters_.add_statistic(name, shape, {});
      known.emplace(tensor.unsafeGetTensorImpl(), index);
      places_.push_back({owner, slot, index});
      first_values_.push_back(tensor.detach());
    }
  }
}

void ScriptNetwork::find_roles(const Settings& settings) {
  const auto method = module_.find_method("forward");
  DPM_CHECK(method.has_value(), "DPM_FILE_INVALID", "The module in " + file_ + " has no method `forward`.");
  const auto& arguments = method->function().getSchema().arguments();
  std::vector<std::string> names;
  for (std::size_t i = 1; i < arguments.size(); ++i) names.push_back(arguments[i].name());
  roles_ = settings.texts("inputs");
  if (roles_.empty()) {
    for (std::size_t i = 0; i < names.size(); ++i) {
      const auto usual = usual_names().find(names[i]);
      if (i > 0 && usual == usual_names().end() && arguments[i + 1].default_value().has_value()) break;
      DPM_CHECK(i == 0 || usual != usual_names().end(), "DPM_INVALID_OPTION",
                "`forward` of the module in " + file_ + " takes (" + joined(names) + "), and \"" + names[i] +
                    "\" has no usual name. Say what each is with `network.inputs`: x, time, classes or image.");
      roles_.push_back(i == 0 ? "x" : usual->second);
    }
  }
  DPM_CHECK(roles_.size() <= names.size(), "DPM_INVALID_OPTION",
            "`network.inputs` names " + std::to_string(roles_.size()) + " inputs, but `forward` of the module in " + file_ + " takes " +
                std::to_string(names.size()) + ": " + joined(names) + ".");
  for (std::size_t i = roles_.size(); i < names.size(); ++i) {
    DPM_CHECK(arguments[i + 1].default_value().has_value(), "DPM_INVALID_OPTION",
              "`forward` of the module in " + file_ + " also takes \"" + names[i] + "\", which has no default. Name it in `network.inputs`.");
  }
  const auto takes = [this](const char* role) { return std::count(roles_.begin(), roles_.end(), role); };
  DPM_CHECK(takes("x") == 1, "DPM_INVALID_OPTION", "Expected one x among `network.inputs` but received " + joined(roles_) + ".");
  DPM_CHECK((takes("classes") > 0) == (shape().classes > 0), "DPM_INVALID_OPTION",
            shape().classes > 0
                ? "`network.classConditional` is true, but `forward` of the module in " + file_ + " takes no classes: (" + joined(names) + ")."
                : "`forward` of the module in " + file_ + " takes classes: set `network.classConditional`, and use data that has some.");
  DPM_CHECK((takes("image") > 0) == (shape().condition_channels > 0), "DPM_INVALID_OPTION",
            shape().condition_channels > 0
                ? "`network.conditionChannels` is set, but `forward` of the module in " + file_ + " takes no image: (" + joined(names) + ")."
                : "`forward` of the module in " + file_ + " takes an image beside x: set `network.conditionChannels` to its channels.");
}

void ScriptNetwork::start(const std::vector<at::Tensor>& parameters, const at::Device& device) {
  {
    const at::NoGradGuard no_grad;
    for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i].copy_(first_values_[i]);
  }
  first_values_.clear();
  module_.to(device);  // counts and indices too
  unbind();

  const std::int64_t count = 2;
  const at::NoGradGuard no_grad;
  const auto floats = at::TensorOptions().dtype(at::kFloat).device(device);
  const auto zeros = [&](std::int64_t channels) { return at::zeros({count, channels, shape().height, shape().width}, floats); };
  Conditioning conditioning;
  conditioning.labels = at::zeros({count}, floats);
  if (shape().classes > 0) conditioning.classes = at::zeros({count}, floats.dtype(at::kLong));
  if (shape().condition_channels > 0) conditioning.image = zeros(shape().condition_channels);
  Pass pass{parameters};
  forward(pass, zeros(shape().input_channels), conditioning);
}

at::Tensor ScriptNetwork::forward(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const {
  // The optimising executor changes its mind after some runs, and with it the last bits: a resumed run would differ.
  const torch::jit::GraphOptimizerEnabledGuard plain(false);
  struct Bound {
    const ScriptNetwork* network;
    ~Bound() { network->unbind(); }
  } const bound{this};
  bind(pass.parameters);
  at::Tensor output;
  try {
    output = run(pass, x, conditioning);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw Error("DPM_INVALID_ARGUMENT", "The module in " + file_ + " failed: " + first_lines(error.what()));
  }
  const std::vector<std::int64_t> wanted{x.size(0), shape().output_channels, x.size(2), x.size(3)};
  DPM_CHECK(
      output.sizes() == at::IntArrayRef(wanted), "DPM_INVALID_ARGUMENT",
      "Expected an output of shape " + shape_text(wanted) + " from the module in " + file_ + " but received " + shape_text(output.sizes()) + ".");
  DPM_CHECK(output.is_floating_point(), "DPM_INVALID_ARGUMENT",
            "Expected floats from the module in " + file_ + " but received " + at::toString(output.scalar_type()) + ".");
  return output.contiguous(at::MemoryFormat::ChannelsLast);
}

at::Tensor ScriptNetwork::run(const Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const {
  if (module_.is_training() != pass.training) module_.train(pass.training);
  std::vector<c10::IValue> inputs;
  for (const std::string& role : roles_) {
    // Modules may take views of what they are given: rows are contiguous for them.
    if (role == "x") inputs.emplace_back(x.contiguous());
    if (role == "time") inputs.emplace_back(whole_times_ ? conditioning.labels.round().to(at::kLong) : conditioning.labels);
    if (role == "classes") inputs.emplace_back(conditioning.classes);
    if (role == "image") inputs.emplace_back(conditioning.image.contiguous());
  }
  const c10::IValue result = module_.forward(std::move(inputs));
  if (result.isTensor()) return result.toTensor();
  const bool first = result.isTuple() && !result.toTupleRef().elements().empty() && result.toTupleRef().elements()[0].isTensor();
  DPM_CHECK(first, "DPM_INVALID_ARGUMENT", "Expected a tensor from `forward` of the module in " + file_ + " but received " + result.tagKind() + ".");
  return result.toTupleRef().elements()[0].toTensor();
}

void ScriptNetwork::bind(const std::vector<at::Tensor>& parameters) const {
  for (const Place& place : places_) place.owner->setSlot(place.slot, parameters[place.parameter]);
}

void ScriptNetwork::unbind() const {
  for (const Place& place : places_) place.owner->setSlot(place.slot, at::Tensor());
}

}  // namespace dpm
