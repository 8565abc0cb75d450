// Training: one promise per step.
#include "training/training.h"

#include <algorithm>
#include <cstring>

#include "bindings.h"
#include "convert.h"
#include "handles.h"
#include "job.h"

namespace dpm {
namespace {

LossKind loss_of(const std::string& name) {
  if (name == "l2") return LossKind::l2;
  if (name == "l1") return LossKind::l1;
  if (name == "huber") return LossKind::huber;
  throw Error("DPM_INVALID_OPTION", "Expected one of l2, l1, huber for `loss` but received \"" + name + "\".");
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
  batch.loss = loss_of(text_of(object.Get("loss"), "loss"));
  batch.first = flag_of(object.Get("first"), "first");
  const Napi::Value update = object.Get("update");
  batch.updates = !update.IsNull();
  if (batch.updates) {
    const auto fields = object_of(update, "update");
    batch.learning_rate = number_of(fields.Get("learningRate"), "learningRate");
    batch.step = whole_of(fields.Get("step"), "step", 1, 9007199254740991.0);
    const auto decays = list_of(fields.Get("averagingDecays"), "averagingDecays");
    for (std::uint32_t i = 0; i < decays.Length(); ++i) batch.averaging_decays.push_back(number_of(decays.Get(i), "averagingDecays"));
  }
  DPM_CHECK(batch.images.dim() == 4, "DPM_INVALID_ARGUMENT", "Expected images of shape N×C×H×W.");
  const auto type = batch.images.scalar_type();
  DPM_CHECK(type == at::kByte || type == at::kFloat, "DPM_INVALID_ARGUMENT", "Expected uint8 or float32 images.");
  return batch;
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
      [training = unwrap<Training>(info[0]), batch = batch_of(info[1]), cancellation] { return training->step(batch, cancellation.get()); },
      [](Napi::Env env, const StepReport& report) {
        const Napi::Object result = Napi::Object::New(env);
        result.Set("loss", report.loss);
        result.Set("gradientNorm", report.gradient_norm);
        Napi::Float64Array losses = Napi::Float64Array::New(env, report.losses.size());
        std::copy(report.losses.begin(), report.losses.end(), losses.Data());
        result.Set("losses", losses);
        result.Set("finite", report.finite);
        return result;
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

Napi::Value training_averaged(const Napi::CallbackInfo& info) {
  return wrap(info.Env(), unwrap<Training>(info[0])->averaged(static_cast<std::size_t>(word_of(info[1], "index"))));
}

}  // namespace

void export_training(Napi::Env env, Napi::Object exports) {
  export_function(env, exports, "trainingCreate", training_create);
  export_function(env, exports, "trainingStep", training_step);
  export_function(env, exports, "trainingTensors", training_tensors);
  export_function(env, exports, "trainingRead", training_read);
  export_function(env, exports, "trainingWrite", training_write);
  export_function(env, exports, "trainingAveraged", training_averaged);
}

}  // namespace dpm
