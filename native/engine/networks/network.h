// What every network is: a list of parameters and a forward pass over them. Layers hold parameter indices, never tensors,
// so that one structure serves the trained weights and every averaged copy.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "cancellation.h"
#include "parameters.h"
#include "philox.h"
#include "precision.h"
#include "settings.h"

namespace dpm {

// Keys of the dropout masks of one training batch.
struct DropoutKeys {
  Key key;
  const double* examples;
  const double* epochs;
};

// On, unless the environment says DPM_TORCH_FUSED_NORMS=0 or DPM_TORCH_FUSED_ATTENTION=0: to compare, and to look for a fault.
bool fused_norms_by_default();
bool fused_attention_by_default();

// On, unless the environment says DPM_TORCH_WINOGRAD=0: to compare, and to look for a fault.
bool winograd_by_default();

// One forward pass: the weights in use, and what the layers need to know of the run.
struct Pass {
  const std::vector<at::Tensor>& parameters;
  // Null outside training: no dropout.
  const DropoutKeys* dropout = nullptr;
  const Cancellation* cancellation = nullptr;
  std::uint32_t next_dropout_site = 0;
  // Whether norms run in our fused kernel where it fits; off, they are libtorch's operators one by one.
  bool fused_norms = fused_norms_by_default();
  // The same for attention: ops/attention_cpu.h.
  bool fused_attention = fused_attention_by_default();
  // Whether 3×3 convolutions run with fewer products where they fit: ops/winograd.h.
  bool winograd = winograd_by_default();
  // Whether 1×1 convolutions run in registers of ours where they fit: ops/pointwise.h.
  bool pointwise = true;
  // Whether weights of bfloat16 convolutions get their gradients by matrix tiles, where there are any: ops/weight_gradient_amx.h.
  bool matrix_tiles = true;
  // Whether the gradient will be differentiated again: then only operators whose gradients can be.
  bool twice = false;
  // Whether weights are being learned: norms over the batch then use the batch's own statistics and note them.
  bool training = false;
  // Whether blocks keep only their inputs and run again on the way back: layers/recompute.h.
  bool activation_checkpointing = false;
  // This is such a second run: what the first has noted must not be noted twice.
  bool recomputing = false;
  Precision precision = Precision::float32;

  const at::Tensor& operator[](ParameterIndex index) const { return parameters[index]; }
};

// What a network is given beside x.
struct Conditioning {
  at::Tensor labels;   // N float32: the time as the network is told it
  at::Tensor classes;  // N int64, or undefined
  at::Tensor image;    // N×K×H×W float32: an image that the network sees beside x, or undefined
};

// What every network is told of the data: lib/networks/conditioning.ts writes it.
struct DataShape {
  explicit DataShape(const Settings& settings);

  std::int64_t input_channels, condition_channels, output_channels, height, width;
  std::int64_t classes;  // 0: the network knows of none
  bool null_class;       // one class more, which means "none"
};

class Network {
 public:
  virtual ~Network() = default;
  // x: N×C×H×W float32, channels-last in memory. Returns N outputs of output_shape(); images are channels-last.
  virtual at::Tensor forward(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const = 0;
  // Throws DPM_INVALID_ARGUMENT, naming the value, when x or the conditioning do not fit the data's shape.
  virtual void check(const at::Tensor& x, const Conditioning& conditioning) const;
  // Brings trained weights back to where the network keeps them, such as to a length: when training begins, and after every
  // update, averages made.
  virtual void constrain(const std::vector<at::Tensor>& parameters) const { static_cast<void>(parameters); }
  // Whether its blocks can run again on the way back.
  virtual bool can_recompute() const { return false; }
  // Called once, after the first weights were drawn: for a network that brings its own.
  virtual void start(const std::vector<at::Tensor>& parameters, const at::Device& device) {}
  // Of one image's output: that of an image of as many channels as x, or of twice as many when the second half is a learned
  // variance; a classifier's is the number of its logits.
  virtual std::vector<std::int64_t> output_shape() const { return {shape_.output_channels, shape_.height, shape_.width}; }
  // Channels of the output of a network for images of so many channels. Throws DPM_INVALID_ARGUMENT when it gives no such images.
  std::int64_t denoising_channels(std::int64_t channels) const;
  // Index that means "no class"; -1 when the network has none.
  std::int64_t null_class() const { return shape_.classes > 0 && shape_.null_class ? shape_.classes : -1; }

  // What forward() takes for `count` images on the device: all of it there, the null class where there are no classes.
  Conditioning prepare(Conditioning conditioning, std::int64_t count, const at::Device& device) const;

  const ParameterList& parameters() const { return parameters_; }

 protected:
  explicit Network(const Settings& settings) : shape_(settings) {}
  const DataShape& shape() const { return shape_; }
  // Rows of a table of classes, the null class included.
  std::int64_t class_rows() const { return shape_.classes + (shape_.null_class ? 1 : 0); }

  ParameterList parameters_;

 private:
  void check_image(std::int64_t count, const at::Tensor& image) const;
  void check_classes(std::int64_t count, const at::Tensor& classes) const;

  DataShape shape_;
};

// A network with weights: the trained ones, or an averaged copy.
struct WeightedNetwork {
  std::shared_ptr<const Network> network;
  at::Tensor flat;
  std::vector<at::Tensor> parameters;
  // Averaged copies that have averaged nothing yet: a parameter that is written is written in them too.
  std::vector<std::vector<at::Tensor>> followers;
  std::int64_t writes = 0;  // parameters that were written from outside

  // Replaces a parameter. Throws DPM_INVALID_ARGUMENT for an unknown name or another shape.
  void write(const std::string& name, const at::Tensor& value);

  at::Device device() const { return flat.device(); }
};

// 3×32×32.
std::string shape_text(at::IntArrayRef shape);

// The network's structure alone, without memory for weights. Throws DPM_INVALID_ARGUMENT for an unknown kind.
std::shared_ptr<Network> build_network(const std::string& kind, const Settings& settings);

std::shared_ptr<WeightedNetwork> create_network(const std::string& kind, const Settings& settings, double seed, const at::Device& device);

}  // namespace dpm
