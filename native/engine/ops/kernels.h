// The kernels we own, as plain data: one argument block per kernel, read by the CPU launcher in this folder and by the
// CUDA launcher in ../cuda. Element bodies that both compile are in *_body.h. Images are N×C×S with S = height × width,
// and lie channels-last in memory: element (n, c, s) at (n * S + s) * C + c, unless a field says otherwise.
//
// Host or device: `rows`, `examples`, `epochs` and `losses` are always host arrays, for they come from JavaScript and go
// back to it; the CUDA launchers copy them, and may be called with arrays that go as soon as the call returns. Every other
// pointer is memory of the device that the launcher is for. A CUDA launcher returns when its work is queued, except
// `loss`, which waits, because `losses` must be there when it returns.
#pragma once
#include <cstdint>

#include "philox.h"

namespace dpm {

// Standard normals into `out`; element i of example e in logical (channel-major) order is philox(seed, purpose, step, e, i).
struct NormalArguments {
  float* out;
  const double* examples;
  std::int64_t count, channels, spatial;
  Key key;
  std::uint32_t purpose, step;
  bool channels_last;
};

// Columns of a training row: the same list as rowFields in lib/native/binding.ts.
struct Row {
  double alpha, sigma, c_in, c_noise, target_clean, target_noise, weight;
  double bound_scale, bound_variance, bound_low, bound_high, bound_weight, bound_decoder;
};

// Draws the noise and mixes in one pass: input = cIn (alpha x0 + sigma noise), target = targetClean x0 + targetNoise noise.
struct NoiseStepArguments {
  const void* images;  // channel-major: the order of the boundary
  bool bytes;          // uint8, to be scaled to [-1, 1]; otherwise float32
  float* input;
  float* target;
  const Row* rows;
  const double* examples;
  const double* epochs;
  std::int64_t count, channels, spatial;
  Key key;
};

// out = sum of coefficients[k] * terms[k].
struct CombineArguments {
  static constexpr int capacity = 16;
  float* out;
  const float* terms[capacity];
  float coefficients[capacity];
  int terms_count;
  std::int64_t size;
};

// Of one sample: the L2 norm, or the standard deviation about the sample's own mean (unbiased, as torch.std).
enum class Measure : int { norm, deviation };

// Every element of out's sample n = factor * (measure(a_n) / measure(b_n))^power, or 0 where measure(b_n) is 0. Sums are
// float64 and their order depends on `size` alone, never on the batch.
struct RatioArguments {
  float* out;
  const float* a;
  const float* b;
  std::int64_t count, size;
  Measure measure;
  double factor, power;
};

// Of a difference d: d^2, |d|, Huber's loss with its bend at `scale` (d^2 / 2 below it, slope `scale` beyond), and the
// pseudo-Huber loss sqrt(d^2 + scale^2) - scale (Song and Dhariwal 2023, arXiv 2310.14189, section 3.3), element by element.
enum class LossKind : int { l2, l1, huber, pseudo_huber };

// Per-example mean loss (`losses`, on the host), and the gradient of sum_n weight_n * loss_n / total by the output.
struct LossArguments {
  const float* output;
  const float* target;
  float* gradient;
  double* losses;
  const Row* rows;
  double total;
  std::int64_t count, size;
  LossKind kind;
  double scale;
};

// One pass over the flat parameter buffer: clip, Adam or AdamW, averaging, zeroing of the gradient.
struct OptimizerArguments {
  static constexpr int capacity = 4;
  float* values;
  float* gradients;
  float* first;
  float* second;
  float* averages[capacity];
  float keep[capacity];  // averaging decay
  int averages_count;
  std::int64_t size;
  float gradient_scale;
  float beta1, beta2, epsilon;
  float step_size;          // learning rate / (1 - beta1^t)
  float second_correction;  // 1 / sqrt(1 - beta2^t)
  float decay;              // added to the gradient (Adam's weight decay)
  float shrink;             // factor on the values (AdamW): 1 - learning rate * weight decay
};

// out = in * (kept ? 1 / (1 - probability) : 0), in memory order within each example.
struct DropoutArguments {
  const float* in;
  float* out;
  const double* examples;
  const double* epochs;
  std::int64_t count, size;
  Key key;
  std::uint32_t site;  // which dropout of the network
  float probability;
};

namespace cpu {
void normals(const NormalArguments& arguments);
void noise_step(const NoiseStepArguments& arguments);
void combine(const CombineArguments& arguments);
void ratio(const RatioArguments& arguments);
void loss(const LossArguments& arguments);
double squared_norm(const float* values, std::int64_t size);
void optimizer(const OptimizerArguments& arguments);
void dropout(const DropoutArguments& arguments);
// out = x limited to [low, high]; NaN stays. out may be x.
void clip(const float* x, float low, float high, std::int64_t size, float* out);
// Whether there is neither NaN nor infinity.
bool all_finite(const float* values, std::int64_t size);
}  // namespace cpu

}  // namespace dpm
