// The loss of a classifier.
#pragma once
#include "networks/network.h"
#include "training/batch.h"

namespace dpm {

// Throws DPM_INVALID_ARGUMENT unless the network gives logits, and the batch says of each image which one should be the largest.
void check_targets(const Batch& batch, const Network& network);

// -log softmax(logits)[class] of each example goes to `report.losses`. Returns the gradient of sum_n weight_n loss_n / total by the
// logits, N×K.
at::Tensor cross_entropy_gradient(const Batch& batch, const at::Tensor& logits, StepReport& report);

}  // namespace dpm
