// The list of networks: a new one is a line here, a file beside this one, and an options file in lib/networks.
#include <functional>
#include <map>

#include "error.h"
#include "networks/context_unet.h"
#include "networks/dit.h"
#include "networks/edm2_unet.h"
#include "networks/encoder_unet.h"
#include "networks/linear_attention_unet.h"
#include "networks/mlp.h"
#include "networks/modified_ddp.h"
#include "networks/network.h"
#include "networks/refinenet.h"
#include "networks/script_network.h"
#include "networks/song_unet.h"
#include "networks/u_vit.h"
#include "networks/unet.h"
#include "networks/unet_2d.h"
#include "ops/switches.h"

namespace dpm {
namespace {

using Make = std::function<std::shared_ptr<Network>(const Settings&)>;

const std::map<std::string, Make>& networks() {
  static const auto* const list = new std::map<std::string, Make>{
      {"context-unet", [](const Settings& settings) { return std::make_shared<ContextUnet>(settings); }},
      {"refinenet", [](const Settings& settings) { return std::make_shared<Refinenet>(settings); }},
      {"torch-script", [](const Settings& settings) { return std::make_shared<ScriptNetwork>(settings); }},
      {"song-unet", [](const Settings& settings) { return std::make_shared<SongUnet>(settings); }},
      {"dit", [](const Settings& settings) { return std::make_shared<Dit>(settings); }},
      {"edm2-unet", [](const Settings& settings) { return std::make_shared<Edm2Unet>(settings); }},
      {"linear-attention-unet", [](const Settings& settings) { return std::make_shared<LinearAttentionUnet>(settings); }},
      {"encoder-unet", [](const Settings& settings) { return std::make_shared<EncoderUnet>(settings); }},
      {"modified-ddp", [](const Settings& settings) { return std::make_shared<ModifiedDdp>(settings); }},
      {"mlp", [](const Settings& settings) { return std::make_shared<Mlp>(settings); }},
      {"u-vit", [](const Settings& settings) { return std::make_shared<UVit>(settings); }},
      {"unet", [](const Settings& settings) { return std::make_shared<Unet>(settings); }},
      {"unet-2d", [](const Settings& settings) { return std::make_shared<Unet2d>(settings); }},
  };
  return *list;
}

}  // namespace

bool fused_norms_by_default() {
  static const bool on = switched_on("DPM_TORCH_FUSED_NORMS");
  return on;
}

bool fused_attention_by_default() {
  static const bool on = switched_on("DPM_TORCH_FUSED_ATTENTION");
  return on;
}

bool winograd_by_default() {
  static const bool on = switched_on("DPM_TORCH_WINOGRAD");
  return on;
}

std::shared_ptr<Network> build_network(const std::string& kind, const Settings& settings) {
  const auto found = networks().find(kind);
  DPM_CHECK(found != networks().end(), "DPM_INVALID_ARGUMENT", "There is no native network named \"" + kind + "\".");
  return found->second(settings);
}

std::shared_ptr<WeightedNetwork> create_network(const std::string& kind, const Settings& settings, double seed, const at::Device& device) {
  auto result = std::make_shared<WeightedNetwork>();
  const std::shared_ptr<Network> network = build_network(kind, settings);
  result->network = network;
  const ParameterList& list = result->network->parameters();
  result->flat = list.allocate(device);
  list.initialize(result->flat, seed);
  result->parameters = list.views(result->flat);
  network->start(result->parameters, device);
  return result;
}

}  // namespace dpm
