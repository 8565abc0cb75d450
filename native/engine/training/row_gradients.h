// Derivatives of the batch's loss by the numbers of the rows.
#pragma once
#include "training/batch.h"

namespace dpm {

// What a schedule with parameters learns from: the derivative of sum_n (weight_n loss_n + boundWeight_n bound_n) / total by
// each column of each row, N × columns, filled into `report.row_gradients`; the bound's own columns are add_bound()'s.
// `by_input` and `by_labels` are gradients of that sum by the network's input and by its labels, `by_output` by its first C
// channels. With `detach_mean` the bound does not count where it depends on the target. boundDecoder is a choice: 0.
void add_row_gradients(const Batch& batch, const at::Tensor& by_input, const at::Tensor& by_labels, const at::Tensor& by_output, StepReport& report);

}  // namespace dpm
