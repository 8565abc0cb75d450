#include "networks/network.h"

#include <ATen/ops/full.h>

namespace dpm {

Conditioning Network::prepare(Conditioning conditioning, std::int64_t count, const at::Device& device) const {
  conditioning.labels = conditioning.labels.to(device);
  if (!conditioning.classes.defined() && null_class() >= 0) conditioning.classes = at::full({count}, null_class(), at::kLong);
  if (conditioning.classes.defined()) conditioning.classes = conditioning.classes.to(device);
  if (conditioning.image.defined()) conditioning.image = conditioning.image.to(device).contiguous(at::MemoryFormat::ChannelsLast);
  return conditioning;
}

}  // namespace dpm
