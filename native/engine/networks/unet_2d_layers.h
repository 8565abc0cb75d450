// The layers of lib/networks/unet-2d-layers.ts: each does one thing to what flows through the network.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "layers/layers.h"
#include "layers/residual_block.h"
#include "networks/network.h"

namespace dpm {

// What flows: the features, the skips that wait for the way up, and, of skip blocks, the image on its way down and what the
// way up has painted.
struct Unet2dFlow {
  Pass& pass;
  Embedding embedding;
  at::Tensor features, picture, painted;
  std::vector<at::Tensor> skips;
};

class Unet2dLayer {
 public:
  virtual ~Unet2dLayer() = default;
  virtual void operator()(Unet2dFlow& flow) const = 0;
};

// What the layers share.
struct Unet2dLayerSettings {
  std::int64_t embedding_channels, input_channels, output_channels;
  Activation activation;
  double epsilon, dropout;
  Initialization start;
};

std::unique_ptr<Unet2dLayer> make_unet_2d_layer(ParameterList& list, const Settings& layer, const Unet2dLayerSettings& shared);

}  // namespace dpm
