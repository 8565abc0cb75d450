// The U-Net's settings, and its half that the classifier of ADM shares: time and class, the way down, the middle. See
// lib/networks/unet.ts for the skeleton, the settings and the parameter names.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "layers/attended_block.h"
#include "networks/network.h"

namespace dpm {

struct UnetSettings {
  explicit UnetSettings(const Settings& settings);

  std::int64_t channels, input_width, blocks, heads, head_channels, augment_labels;
  std::vector<std::int64_t> widths, attention_resolutions, fourier_features;  // widths: channels of each level
  bool middle_attention, last_decoder_attention, interleaved, asymmetric, zero_null_class;
  std::string resampling, time_embedding;
  bool scale_shift;
  double skip_scale, group_epsilon, dropout;
  std::int64_t groups, minimum_group_channels;
  Initialization start;

  // Channels of x with its Fourier features.
  std::int64_t input_channels(std::int64_t x) const { return x * (1 + 2 * static_cast<std::int64_t>(fourier_features.size())); }
  std::int64_t time_channels() const { return 4 * channels; }
  std::int64_t groups_of(std::int64_t width) const;
  bool attends(std::int64_t resolution) const;
  AttentionSettings attention(std::int64_t width) const;
  ResidualSettings block(std::int64_t in, std::int64_t out, ResidualSettings::Resize resize = ResidualSettings::Resize::none) const;
};

// The blocks of one resolution, on the way down or up, with the resampling that follows them.
struct UnetLevel {
  std::vector<AttendedBlock> blocks;
  std::optional<Convolution> resample;
  std::optional<ResidualBlock> resample_block;
};

// What the time label and the class come to: N×4C.
class TimeAndClass {
 public:
  TimeAndClass() = default;
  TimeAndClass(ParameterList& list, const UnetSettings& settings, std::int64_t classes, bool null_class);
  Embedding operator()(const Pass& pass, const Conditioning& conditioning) const;

 private:
  std::int64_t channels_ = 0, rows_ = 0;
  std::string kind_;
  bool zero_null_class_ = false;
  Linear in_, out_;
  std::optional<ParameterIndex> class_table_;
};

class UnetEncoder {
 public:
  struct Encoding {
    Embedding time;
    at::Tensor h;                   // behind the middle
    std::vector<at::Tensor> skips;  // of the input convolution, every block and every resampling, in this order
  };

  UnetEncoder(ParameterList& list, const UnetSettings& settings, const DataShape& shape);
  Encoding operator()(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const;

  // Channels of `skips`, in their order, and the resolution (image height) behind the last.
  const std::vector<std::int64_t>& skip_widths() const { return skip_widths_; }
  std::int64_t resolution() const { return resolution_; }

 private:
  // x, with its Fourier features and the image that is seen beside it as further channels.
  at::Tensor input(const at::Tensor& x, const Conditioning& conditioning) const;

  bool asymmetric_;
  std::vector<std::int64_t> fourier_features_;
  TimeAndClass time_;
  Convolution input_;
  std::vector<UnetLevel> levels_;
  std::vector<AttendedBlock> middle_;
  std::vector<std::int64_t> skip_widths_;
  std::int64_t resolution_;
};

}  // namespace dpm
