// The networks of a sampling run. Kernels may choose other sums for another shape, and a sample must not depend on how many
// others are drawn with it: so every call has the same number of examples, filled up with zeros.
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "cancellation.h"
#include "networks/network.h"
#include "precision.h"
#include "registers.h"

namespace dpm {

// One network at one register, under one condition or, in one call, under several.
struct Evaluation {
  struct Part {
    bool given;         // the run's classes, or none
    int out, variance;  // registers; variance -1: not wanted
  };
  int network, x;
  double c_in, label;
  std::vector<Part> parts;

  // Whether the other, which follows it, can be asked in the same call.
  bool precedes(const Evaluation& other) const;
};

class NetworkCalls {
 public:
  struct Given {
    std::int64_t chunk;  // examples of a condition per call
    at::Tensor classes;  // N int64 on the CPU, or undefined
    at::Tensor image;    // N×K×H×W float32 that the networks see beside x, or undefined
    Precision precision;
  };

  // Throws DPM_INVALID_ARGUMENT when a network does not take x of this shape with what is given.
  NetworkCalls(std::vector<std::shared_ptr<WeightedNetwork>> networks, Given given, const std::vector<std::int64_t>& shape);

  const Network& network(int index) const { return *networks_[static_cast<std::size_t>(index)]->network; }
  const at::Device& device() const { return device_; }
  bool has_classes() const { return given_.classes.defined(); }
  // Whether both conditions of guidance are asked in one call, which repays the fixed costs of a call where it is small. The
  // chunk alone decides, so that a sample is the same in any company.
  bool joins() const { return has_classes() && 2 * given_.chunk <= kLargestJointCall; }

  void evaluate(const Evaluation& evaluation, Registers& registers, const Cancellation* cancellation);

  // Spent inside networks until now; on a GPU, where work is queued, the time of queueing it.
  double seconds() const { return seconds_; }

 private:
  static constexpr std::int64_t kLargestJointCall = 64;

  // Examples of a call: a chunk from `begin` on for every part, scaled by c_in.
  at::Tensor input(const Evaluation& evaluation, const at::Tensor& x, std::int64_t begin);
  // What the network is told of them beside x, made once.
  const Conditioning& conditioning(const Evaluation& evaluation, std::int64_t begin);
  at::Tensor chunk_of(const at::Tensor& whole, std::int64_t begin) const;

  std::vector<std::shared_ptr<WeightedNetwork>> networks_;
  Given given_;
  at::Device device_;
  std::int64_t count_, channels_;
  at::Tensor label_;                // one number, which the labels of every call are views of
  std::vector<at::Tensor> inputs_;  // of one part, of two
  std::map<std::tuple<int, int, std::int64_t>, Conditioning> conditionings_;
  double seconds_ = 0;
};

}  // namespace dpm
