// DDPM++ and NCSN++: lib/networks/song-unet.ts has the skeleton, the settings and the parameter names.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "layers/attended_block.h"
#include "networks/network.h"

namespace dpm {

struct SongSettings {
  explicit SongSettings(const Settings& settings);

  std::int64_t channels, time_width, blocks, head_channels, augment_labels, groups, minimum_group_channels;
  std::vector<std::int64_t> widths, attention_resolutions;
  bool fourier, fir, concatenates, decoder_skip, scale_shift;
  std::string encoder;
  double fourier_scale, skip_scale, group_epsilon, dropout;
  Initialization start;

  std::int64_t time_channels() const { return 4 * channels; }
  std::int64_t groups_of(std::int64_t width) const;
  bool attends(std::int64_t resolution) const;
  AttentionSettings attention(std::int64_t width) const;
  ResidualSettings block(std::int64_t in, std::int64_t out) const;
  ResidualSettings resizing(std::int64_t width, bool halves) const;
};

class SongUnet final : public Network {
 public:
  explicit SongUnet(const Settings& settings);
  at::Tensor forward(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const override;
  bool can_recompute() const override { return true; }

 private:
  struct Output {
    GroupNorm norm;
    Convolution convolution;
  };
  struct Level {
    std::vector<AttendedBlock> blocks;
    std::optional<AttendedBlock> resample;  // without attention
    std::optional<Convolution> pyramid;
    std::optional<Output> output;
  };
  void build_down(std::vector<std::int64_t>& skips, std::int64_t& resolution);
  void build_up(std::vector<std::int64_t> skips, std::int64_t resolution);
  Output output_of(const std::string& name, std::int64_t width);
  Embedding condition(const Pass& pass, const Conditioning& conditioning) const;
  at::Tensor half(const at::Tensor& x) const;
  at::Tensor twice(const at::Tensor& x) const;

  SongSettings settings_;
  std::optional<ParameterIndex> frequencies_;
  Linear time_in_, time_out_;
  std::optional<Linear> classes_;
  Convolution input_;
  std::vector<Level> down_, up_;
  std::vector<AttendedBlock> middle_;
  std::optional<Output> output_;
};

}  // namespace dpm
