// Training: one promise per step.
#include "training/training.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "bindings.h"
#include "convert.h"
#include "handles.h"
#include "job.h"
#include "training/mixture.h"

namespace dpm {
namespace {

// The native part of a loss's name: how a difference counts, or what counts where there is none.
struct NamedLoss {
  LossKind kind;
  bool sliced = false, cross_entropy = false;
};

NamedLoss loss_of(const std::string& name) {
  static const auto* const losses =
      new std::map<std::string, NamedLoss>{{"l2", {LossKind::l2}},           {"l1", {LossKind::l1}},
                                           {"huber", {LossKind::huber}},     {"pseudo-huber", {LossKind::pseudo_huber}},
                                           {"sliced", {LossKind::l2, true}}, {"cross-entropy", {LossKind::l2, false, true}}};
  const auto found = losses->find(name);
  DPM_CHECK(found != losses->end(), "DPM_INVALID_OPTION",
            "Expected one of l2, l1, huber, pseudo-huber, sliced, cross-entropy for `loss` but received \"" + name + "\".");
  return found->second;
}

std::vector<double> keys_of(const Napi::Value& value, const char* name) { return value.IsNull() ? std::vector<double>() : words_of(value, name); }

void check_images(const at::Tensor& images) {
  DPM_CHECK(images.dim() == 4, "DPM_INVALID_ARGUMENT", "Expected images of shape N×C×H×W.");
  const auto type = images.scalar_type();
  DPM_CHECK(type == at::kByte || type == at::kFloat, "DPM_INVALID_ARGUMENT", "Expected uint8 or float32 images.");
}

std::vector<Row> rows_of(const Napi::Value& value) {
  const auto numbers = numbers_of(value, "rows");
  constexpr std::size_t fields = sizeof(Row) / sizeof(double);
  DPM_CHECK(numbers.size() % fields == 0, "DPM_INVALID_ARGUMENT", "Expected " + std::to_string(fields) + " numbers per training row.");
  std::vector<Row> rows(numbers.size() / fields);
  std::memcpy(static_cast<void*>(rows.data()), numbers.data(), numbers.size() * sizeof(double));
  return rows;
}

Batch batch_of(const Napi::Value& value) {
  const auto object = object_of(value, "batch");
  Batch batch{};
  batch.images = unwrap_tensor(object.Get("images"));
  batch.classes = classes_of(object.Get("classes"));
  batch.condition = image_of(object.Get("condition"));
  batch.rows = rows_of(object.Get("rows"));
  batch.examples = words_of(object.Get("examples"), "examples");
  batch.epochs = words_of(object.Get("epochs"), "epochs");
  batch.seed = seed_of(object.Get("seed"));
  batch.total = number_of(object.Get("total"), "total");
  batch.noise_examples = keys_of(object.Get("noiseExamples"), "noiseExamples");
  batch.noise_epochs = keys_of(object.Get("noiseEpochs"), "noiseEpochs");
  const Napi::Value forward_step = object.Get("forwardStep");
  if (!forward_step.IsNull()) batch.forward_step = numbers_of(forward_step, "forwardStep");
  DPM_CHECK(batch.noise_examples.empty() == batch.noise_epochs.empty(), "DPM_INVALID_ARGUMENT",
            "Expected both `noiseExamples` and `noiseEpochs`, or neither.");
  const NamedLoss loss = loss_of(text_of(object.Get("loss"), "loss"));
  batch.loss = loss.kind;
  batch.sliced = loss.sliced;
  batch.cross_entropy = loss.cross_entropy;
  batch.loss_scale = number_of(object.Get("lossScale"), "lossScale");
  DPM_CHECK(batch.loss_scale > 0 && std::isfinite(batch.loss_scale), "DPM_INVALID_OPTION",
            "Expected a positive number for `lossScale` but received " + std::to_string(batch.loss_scale) + ".");
  batch.detach_mean = flag_of(object.Get("detachMean"), "detachMean");
  batch.row_gradients = flag_of(object.Get("rowGradients"), "rowGradients");
  const Napi::Value follows = object.Get("follows");
  batch.follows = follows.IsNull() || follows.IsUndefined() ? -1 : whole_of(follows, "follows", 0, 9007199254740991.0);
  batch.first = flag_of(object.Get("first"), "first");
  const Napi::Value update = object.Get("update");
  batch.updates = !update.IsNull();
  if (batch.updates) {
    const auto fields = object_of(update, "update");
    batch.learning_rate = number_of(fields.Get("learningRate"), "learningRate");
    batch.step = whole_of(fields.Get("step"), "step", 1, 9007199254740991.0);
    batch.averaging_decays = entries_of(list_of(fields.Get("averagingDecays"), "averagingDecays"),
                                        [](const Napi::Value& decay) { return number_of(decay, "averagingDecays"); });
  }
  check_images(batch.images);
  return batch;
}

Napi::Float64Array float64_array(Napi::Env env, const std::vector<double>& values) {
  Napi::Float64Array array = Napi::Float64Array::New(env, values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

Napi::Value training_create(const Napi::CallbackInfo& info) {
  return run_job(
      info.Env(), nullptr,
      [network = unwrap<WeightedNetwork>(info[0]), settings = settings_of(info[1])] { return std::make_shared<Training>(network, settings); },
      [](Napi::Env env, const std::shared_ptr<Training>& training) { return wrap(env, training); });
}

Napi::Value training_step(const Napi::CallbackInfo& info) {
  const auto cancellation = cancellation_of(info[2]);
  return run_job(
      info.Env(), cancellation,
      [training = unwrap<Training>(info[0]), batch = batch_of(info[1]), cancellation, profile = unwrap_optional<Profile>(info[3])] {
        const ProfileScope scope(profile);
        return training->step(batch, cancellation.get());
      },
      [](Napi::Env env, const StepReport& report) {
        const Napi::Object result = Napi::Object::New(env);
        result.Set("loss", report.loss);
        result.Set("gradientNorm", report.gradient_norm);
        result.Set("losses", float64_array(env, report.losses));
        result.Set("bounds", float64_array(env, report.bounds));
        result.Set("rowGradients", report.row_gradients.empty() ? env.Null() : Napi::Value(float64_array(env, report.row_gradients)));
        result.Set("finite", report.finite);
        result.Set("skipped", report.skipped);
        result.Set("lossScale", report.loss_scale);
        return result;
      });
}

Napi::Value pairing_costs_of(const Napi::CallbackInfo& info) {
  Batch batch{};
  batch.images = unwrap_tensor(info[0]);
  check_images(batch.images);
  batch.examples = words_of(info[1], "examples");
  batch.epochs = words_of(info[2], "epochs");
  batch.seed = seed_of(info[3]);
  return run_job(
      info.Env(), nullptr, [batch] { return pairing_costs(batch); },
      [](Napi::Env env, const at::Tensor& costs) {
        const double* const values = costs.const_data_ptr<double>();
        return float64_array(env, {values, values + costs.numel()});
      });
}

Napi::Value training_tensors(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto names = unwrap<Training>(info[0])->names();
  const Napi::Array result = Napi::Array::New(env, names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    const Napi::Object row = Napi::Object::New(env);
    row.Set("name", names[i].first);
    row.Set("shape", to_javascript(env, names[i].second));
    result.Set(static_cast<std::uint32_t>(i), row);
  }
  return result;
}

Napi::Value training_read(const Napi::CallbackInfo& info) {
  return run_job(
      info.Env(), nullptr, [training = unwrap<Training>(info[0]), name = text_of(info[1], "name")] { return training->read(name); }, wrap_tensor);
}

Napi::Value training_write(const Napi::CallbackInfo& info) {
  return run_job(
      info.Env(), nullptr,
      [training = unwrap<Training>(info[0]), name = text_of(info[1], "name"), value = unwrap_tensor(info[2])] {
        training->write(name, value);
        return true;
      },
      [](Napi::Env env, bool) { return env.Undefined(); });
}

Napi::Value training_settle(const Napi::CallbackInfo& info) {
  return run_job(
      info.Env(), nullptr, [training = unwrap<Training>(info[0])] { return training->settle(); },
      [](Napi::Env env, const Training::Standing& standing) {
        const Napi::Object result = Napi::Object::New(env);
        result.Set("step", standing.step);
        result.Set("writes", static_cast<double>(standing.writes));
        return result;
      });
}

Napi::Value training_begin(const Napi::CallbackInfo& info) {
  return run_job(
      info.Env(), nullptr,
      [training = unwrap<Training>(info[0]), step = whole_of(info[1], "step", 0, 9007199254740991.0)] {
        training->begin(step);
        return true;
      },
      [](Napi::Env env, bool) { return env.Undefined(); });
}

Napi::Value training_averaged(const Napi::CallbackInfo& info) {
  return wrap(info.Env(), unwrap<Training>(info[0])->averaged(static_cast<std::size_t>(word_of(info[1], "index"))));
}

}  // namespace

void export_training(Napi::Env env, Napi::Object exports) {
  export_function(env, exports, "trainingCreate", training_create);
  export_function(env, exports, "trainingStep", training_step);
  export_function(env, exports, "pairingCosts", pairing_costs_of);
  export_function(env, exports, "trainingTensors", training_tensors);
  export_function(env, exports, "trainingRead", training_read);
  export_function(env, exports, "trainingWrite", training_write);
  export_function(env, exports, "trainingSettle", training_settle);
  export_function(env, exports, "trainingBegin", training_begin);
  export_function(env, exports, "trainingAveraged", training_averaged);
}

}  // namespace dpm
