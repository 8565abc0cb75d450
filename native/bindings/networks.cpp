// Networks: create, read and write parameters, forward, backward.
#include <ATen/core/grad_mode.h>

#include "bindings.h"
#include "convert.h"
#include "handles.h"
#include "job.h"
#include "networks/forward_step.h"

namespace dpm {
namespace {

using NetworkPointer = std::shared_ptr<WeightedNetwork>;

Napi::Value network_create(const Napi::CallbackInfo& info) {
  return run_job(
      info.Env(), nullptr,
      [kind = text_of(info[0], "kind"), settings = settings_of(info[1]), seed = seed_of(info[2]), device = text_of(info[3], "device")] {
        return create_network(kind, settings, seed, device_of(device));
      },
      [](Napi::Env env, const NetworkPointer& network) { return wrap(env, network); });
}

Napi::Value rows_of(Napi::Env env, const Network& network) {
  const auto& entries = network.parameters().entries();
  const Napi::Array result = Napi::Array::New(env, entries.size());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const Napi::Object row = Napi::Object::New(env);
    row.Set("name", entries[i].name);
    row.Set("shape", to_javascript(env, entries[i].shape));
    row.Set("trained", entries[i].trained);
    result.Set(static_cast<std::uint32_t>(i), row);
  }
  return result;
}

Napi::Value network_describe(const Napi::CallbackInfo& info) {
  return run_job(
      info.Env(), nullptr, [kind = text_of(info[0], "kind"), settings = settings_of(info[1])] { return build_network(kind, settings); },
      [](Napi::Env env, const std::shared_ptr<Network>& network) { return rows_of(env, *network); });
}

Napi::Value network_parameters(const Napi::CallbackInfo& info) { return rows_of(info.Env(), *unwrap<WeightedNetwork>(info[0])->network); }

Napi::Value network_read(const Napi::CallbackInfo& info) {
  return run_job(
      info.Env(), nullptr,
      [network = unwrap<WeightedNetwork>(info[0]), name = text_of(info[1], "name")] {
        return network->parameters[network->network->parameters().find(name)].contiguous().clone();
      },
      wrap_tensor);
}

Napi::Value network_write(const Napi::CallbackInfo& info) {
  return run_job(
      info.Env(), nullptr,
      [network = unwrap<WeightedNetwork>(info[0]), name = text_of(info[1], "name"), value = unwrap_tensor(info[2])] {
        network->write(name, value);
        return true;
      },
      [](Napi::Env env, bool) { return env.Undefined(); });
}

Napi::Value network_forward(const Napi::CallbackInfo& info) {
  const auto cancellation = cancellation_of(info[7]);
  return run_job(
      info.Env(), cancellation,
      [network = unwrap<WeightedNetwork>(info[0]), x = unwrap_tensor(info[1]),
       conditioning = Conditioning{labels_of(info[2]), classes_of(info[3]), image_of(info[4])}, gradient = flag_of(info[5], "gradient"),
       precision = precision_of(text_of(info[6], "precision")), cancellation, profile = unwrap_optional<Profile>(info[8])] {
        const ProfileScope scope(profile);
        return GradientPass::run(network, x, conditioning, gradient, precision, cancellation.get());
      },
      [](Napi::Env env, const std::shared_ptr<GradientPass>& pass) { return wrap(env, pass); });
}

Napi::Value network_encode(const Napi::CallbackInfo& info) {
  return run_job(
      info.Env(), nullptr,
      [network = unwrap<WeightedNetwork>(info[0]), x = unwrap_tensor(info[1]), labels = labels_of(info[2]), gates = labels_of(info[3])] {
        return encoded(*network, x, labels, gates);
      },
      wrap_tensor);
}

Napi::Value pass_output(const Napi::CallbackInfo& info) { return wrap_tensor(info.Env(), unwrap<GradientPass>(info[0])->output()); }

Napi::Value pass_backward(const Napi::CallbackInfo& info) {
  return run_job(
      info.Env(), nullptr, [pass = unwrap<GradientPass>(info[0]), gradient = unwrap_tensor(info[1])] { return pass->backward(gradient); },
      [](Napi::Env env, const std::vector<at::Tensor>& gradients) {
        const Napi::Object result = Napi::Object::New(env);
        const Napi::Array parameters = Napi::Array::New(env, gradients.size() - 1);
        for (std::size_t i = 1; i < gradients.size(); ++i) parameters.Set(static_cast<std::uint32_t>(i - 1), wrap_tensor(env, gradients[i]));
        result.Set("input", wrap_tensor(env, gradients[0]));
        result.Set("parameters", parameters);
        return result;
      });
}

}  // namespace

void export_networks(Napi::Env env, Napi::Object exports) {
  export_function(env, exports, "networkCreate", network_create);
  export_function(env, exports, "networkDescribe", network_describe);
  export_function(env, exports, "networkParameters", network_parameters);
  export_function(env, exports, "networkRead", network_read);
  export_function(env, exports, "networkWrite", network_write);
  export_function(env, exports, "networkForward", network_forward);
  export_function(env, exports, "networkEncode", network_encode);
  export_function(env, exports, "passOutput", pass_output);
  export_function(env, exports, "passBackward", pass_backward);
}

}  // namespace dpm
