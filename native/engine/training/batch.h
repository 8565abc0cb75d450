// What a training step is given, and what it says of it.
#pragma once
#include <ATen/core/Tensor.h>

#include <limits>
#include <vector>

#include "ops/kernels.h"

namespace dpm {

struct Batch {
  at::Tensor images;     // N×C×H×W, uint8 or float32, on the CPU
  at::Tensor classes;    // N int64, or undefined
  at::Tensor condition;  // N×K×H×W float32 that the network sees beside x, or undefined
  std::vector<Row> rows;
  std::vector<double> examples, epochs;
  std::vector<double> forward_step;                  // N × ForwardStepNumbers of training/mixture.h, or empty: the schedule's own process
  std::vector<double> noise_examples, noise_epochs;  // keys of the noise; empty where they are `examples` and `epochs`
  double seed;
  double total;  // size of the whole batch, of which this may be a part
  LossKind loss;
  double loss_scale;
  bool sliced;         // sliced score matching instead of `loss`
  bool cross_entropy;  // the logits' instead of `loss`, of a classifier: `classes` are what it should say
  bool detach_mean;    // the bound teaches the variance alone
  bool row_gradients;  // whether the report has them
  double follows;      // updates that must have been made when it begins; negative: it does not matter
  bool first;          // begins a batch: a gradient that a cancelled one left is dropped
  bool updates;
  double learning_rate;
  double step;  // 1-based count of updates
  std::vector<double> averaging_decays;

  bool bounded() const {
    for (const Row& row : rows) {
      if (row.bound_weight != 0) return true;
    }
    return false;
  }
};

struct StepReport {
  double loss = 0;
  double gradient_norm = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> losses;
  std::vector<double> bounds;         // NaN where a row has no bound
  std::vector<double> row_gradients;  // N × columns of a row, or empty
  bool finite = true;
  bool skipped = false;   // an update that was not made because its gradient overflowed at this scale
  double loss_scale = 1;  // float16's, of this update
};

// A column of some rows as n×1×1×1 float64.
at::Tensor column_of(const std::vector<Row>& rows, const std::vector<std::int64_t>& indices, double Row::*column, const at::Device& device);

}  // namespace dpm
