#include "networks/modified_ddp.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>

#include <cmath>
#include <utility>

#include "error.h"
#include "layers/initializers.h"
#include "layers/recompute.h"

namespace dpm {
namespace {

at::Tensor leaky(const at::Tensor& x) { return activate(Activation::leaky_relu, x); }

// Of one step the reverse network must tell the time from the next; the forward network must not jump.
constexpr double kReverseTime = 1000, kForwardTime = 2 * M_PI;

// Dropout sites of the forward step lie apart from those of the reverse step, which counts from 0.
constexpr std::uint32_t kForwardSites = 1U << 16;

}  // namespace

StepBlock::StepBlock(ParameterList& list, const std::string& name, std::int64_t in, std::int64_t out, std::int64_t embedding,
                     const Initialization& start, double dropout)
    : conv1_(list, name + ".conv1", in, out, 3, start, Role::inner, false),
      conv2_(list, name + ".conv2", out, out, 3, start, Role::inner, false),
      norm1_(list, name + ".norm1", out),
      norm2_(list, name + ".norm2", out),
      time_(list, name + ".time", embedding, out, start),
      dropout_(dropout) {
  if (in != out) shortcut_.emplace(list, name + ".shortcut", in, out, 1, start);
}

at::Tensor StepBlock::run(Pass& pass, const at::Tensor& x, const at::Tensor& embedding) const {
  at::Tensor h = leaky(norm1_(pass, conv1_(pass, x)) + time_(pass, embedding).unsqueeze(-1).unsqueeze(-1));
  h = norm2_(pass, conv2_(pass, dropout(pass, h, dropout_)));
  return leaky(h + (shortcut_ ? (*shortcut_)(pass, x) : x));
}

at::Tensor StepBlock::operator()(Pass& pass, const at::Tensor& x, const at::Tensor& embedding) const {
  if (pass.cancellation) pass.cancellation->throw_if_requested();
  return recompute(pass, x, embedding, [this](Pass& p, const at::Tensor& in, const at::Tensor& beside) { return run(p, in, beside); });
}

StepNetwork::StepNetwork(ParameterList& list, const std::string& name, const StepSettings& s)
    : time_channels_(2 * s.widths.front()), time_scale_(s.time_scale) {
  const std::int64_t embedding = 4 * s.widths.front();
  time_in_ = Linear(list, name + ".time.in", time_channels_, embedding, s.start);
  time_out_ = Linear(list, name + ".time.out", embedding, embedding, s.start);
  if (s.class_rows > 0) class_table_ = list.add(name + ".classes.weight", {s.class_rows, embedding}, {Initializer::Kind::normal, 1});
  input_ = Convolution(list, name + ".input", s.in, s.widths.front(), 3, s.start);
  for (std::size_t l = 0; l < s.widths.size(); ++l) {
    down_.emplace_back(list, name + ".down." + std::to_string(l), s.widths[l > 0 ? l - 1 : 0], s.widths[l], embedding, s.start, s.dropout);
  }
  for (std::size_t l = 0; l + 1 < s.widths.size(); ++l) {
    up_.emplace_back(list, name + ".up." + std::to_string(l), s.widths[l + 1] + s.widths[l], s.widths[l], embedding, s.start, s.dropout);
  }
  output_ = Convolution(list, name + ".output", s.widths.front(), s.out, 3, s.start, Role::last);
}

at::Tensor StepNetwork::operator()(Pass& pass, const at::Tensor& x, const at::Tensor& labels, const at::Tensor& classes) const {
  at::Tensor e = time_out_(pass, leaky(time_in_(pass, time_embedding(labels.to(at::kDouble) * time_scale_, time_channels_, "ddpm"))));
  if (class_table_) e = e + at::embedding(pass[*class_table_], classes);
  e = leaky(e);
  at::Tensor h = input_(pass, x);
  std::vector<at::Tensor> seen;
  for (std::size_t l = 0; l < down_.size(); ++l) {
    h = down_[l](pass, l > 0 ? half_size(h) : h, e);
    seen.push_back(h);
  }
  for (std::size_t l = up_.size(); l-- > 0;) h = up_[l](pass, at::cat({double_size(h), seen[l]}, 1), e);
  return output_(pass, h);
}

ModifiedDdp::ModifiedDdp(const Settings& settings) : Network(settings) {
  Initialization start{initialization_scheme(settings.text("initialization"))};
  start.slope = 0.2;
  const auto widths_of = [&](std::int64_t channels) {
    std::vector<std::int64_t> widths;
    for (const std::int64_t multiplier : settings.integers("multipliers")) widths.push_back(channels * multiplier);
    return widths;
  };
  const std::int64_t channels = settings.integer("channels"), forward_channels = settings.integer("forwardChannels");
  // TypeScript has said this in its own words.
  const std::size_t levels = settings.integers("multipliers").size();
  DPM_CHECK(channels >= 2 && forward_channels >= 2 && levels >= 1 && levels < 16, "DPM_INVALID_OPTION",
            "Expected at least 2 channels and a level for the steps' networks.");
  const std::int64_t side = std::int64_t{1} << (levels - 1);
  DPM_CHECK(shape().height % side == 0 && shape().width % side == 0, "DPM_INVALID_OPTION", "The levels halve the image more often than it can be.");
  const double dropout = settings.number("dropout");
  const std::int64_t x = shape().input_channels;
  forward_step_ = StepNetwork(parameters_, "forwardStep", {x, x, widths_of(forward_channels), 0, start, dropout, kForwardTime});
  const std::int64_t rows = shape().classes > 0 ? class_rows() : 0;
  reverse_step_ = StepNetwork(parameters_, "reverseStep",
                              {x + shape().condition_channels, shape().output_channels, widths_of(channels), rows, start, dropout, kReverseTime});
}

at::Tensor ModifiedDdp::forward(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const {
  const at::Tensor seen = conditioning.image.defined() ? at::cat({x, conditioning.image}, 1) : x;
  return reverse_step_(pass, seen, conditioning.labels, conditioning.classes);
}

at::Tensor ModifiedDdp::encode(Pass& pass, const at::Tensor& x, const at::Tensor& labels, const at::Tensor& gate) const {
  const std::vector<std::int64_t> wanted{x.size(0), shape().input_channels, shape().height, shape().width};
  DPM_CHECK(x.sizes() == at::IntArrayRef(wanted), "DPM_INVALID_ARGUMENT",
            "Expected shape " + shape_text(wanted) + " for `x` but received " + shape_text(x.sizes()) + ".");
  const std::uint32_t site = std::exchange(pass.next_dropout_site, kForwardSites);
  const at::Tensor moved = forward_step_(pass, x, labels, at::Tensor());
  pass.next_dropout_site = site;
  return x + gate * moved;
}

}  // namespace dpm
