// Activation checkpointing (Chen et al. 2016, arXiv 1604.06174): a part of a network keeps its inputs alone, and is run again
// on the way back. Less memory, about a third more arithmetic, and the same numbers: dropout is drawn from a counter.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>

#include "networks/network.h"

namespace dpm {

// A block: of x, and of what the network knows beside it. All that it reads else must live as long as the network.
using Part = std::function<at::Tensor(Pass&, const at::Tensor& x, const at::Tensor& beside)>;

// part(pass, x, beside); where the pass asks for it, by recomputing.
at::Tensor recompute(Pass& pass, const at::Tensor& x, const at::Tensor& beside, Part part);

}  // namespace dpm
