#include "networks/unet.h"

#include <ATen/ops/cat.h>

#include <string>

namespace dpm {

Unet::Unet(const Settings& settings) : Network(settings), settings_(settings), encoder_(parameters_, settings_, shape()) {
  const UnetSettings& s = settings_;
  ParameterList& list = parameters_;
  std::vector<std::int64_t> skips = encoder_.skip_widths();
  std::int64_t width = s.widths.back();
  std::int64_t resolution = encoder_.resolution();
  up_.resize(s.widths.size());
  for (std::size_t l = s.widths.size(); l-- > 0;) {
    const std::string name = "up." + std::to_string(l);
    UnetLevel level;
    for (std::int64_t i = 0; i <= s.blocks; ++i) {
      level.blocks.push_back({{list, name + ".blocks." + std::to_string(i), s.block(width + skips.back(), s.widths[l]), s.start}, {}});
      skips.pop_back();
      width = s.widths[l];
      const bool attends = s.attends(resolution) && (i == s.blocks || !s.last_decoder_attention);
      if (attends) level.blocks.back().attention.emplace(list, name + ".attentions." + std::to_string(i), s.attention(width), s.start);
    }
    if (l > 0) {
      if (s.resampling == "convolution") level.resample = Convolution(list, name + ".resample", width, width, 3, s.start);
      if (s.resampling == "residual")
        level.resample_block.emplace(list, name + ".resample", s.block(width, width, ResidualSettings::Resize::twice), s.start);
      resolution *= 2;
    }
    up_[l] = std::move(level);
  }
  output_norm_ = GroupNorm(list, "output.norm", width, s.groups_of(width), s.group_epsilon);
  output_ = Convolution(list, "output.conv", width, shape().output_channels, 3, s.start, Role::last);
}

at::Tensor Unet::forward(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const {
  auto [time, h, skips] = encoder_(pass, x, conditioning);
  for (std::size_t l = up_.size(); l-- > 0;) {
    const UnetLevel& level = up_[l];
    for (const AttendedBlock& block : level.blocks) {
      h = block(pass, at::cat({h, skips.back()}, 1), time);
      skips.pop_back();
    }
    if (l == 0) break;
    if (level.resample_block) {
      h = (*level.resample_block)(pass, h, time);
    } else {
      h = double_size(h);
      if (level.resample) h = (*level.resample)(pass, h);
    }
  }
  return output_(pass, output_norm_.silu(pass, h));
}

}  // namespace dpm
