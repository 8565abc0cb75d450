// Layers over tokens, N×T×D: what transformers are made of.
#pragma once
#include <optional>
#include <string>

#include "layers/layers.h"

namespace dpm {

// An image as tokens: each size×size patch through one linear map, row by row. The weight is stored as out×in×size×size.
class Patches {
 public:
  Patches() = default;
  Patches(ParameterList& list, const std::string& name, std::int64_t in, std::int64_t out, std::int64_t size, Initializer weight, Initializer bias);
  // N×in×H×W → N×(H/size · W/size)×out.
  at::Tensor operator()(const Pass& pass, const at::Tensor& x) const;

 private:
  ParameterIndex weight_ = 0, bias_ = 0;
  std::int64_t size_ = 1;
};

// The way back: N×(h·w)×(size·size·C), within a token by row, column and channel → N×C×(h·size)×(w·size), channels-last.
at::Tensor image_of_patches(const at::Tensor& tokens, std::int64_t size, std::int64_t height, std::int64_t width);

// Over the channels of each token.
class LayerNorm {
 public:
  LayerNorm() = default;
  LayerNorm(ParameterList& list, const std::string& name, std::int64_t channels, double epsilon);
  at::Tensor operator()(const Pass& pass, const at::Tensor& x) const;
  // The same without weights of its own: y * (1 + scale) + shift, scale and shift N×D.
  static at::Tensor modulated(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& scale, double epsilon);

 private:
  ParameterIndex weight_ = 0, bias_ = 0;
  std::int64_t channels_ = 1;
  double epsilon_ = 1e-5;
};

// Every token attends to all of its example. Rows of qkv are all q, all k, all v, each head by head.
class TokenAttention {
 public:
  TokenAttention() = default;
  TokenAttention(ParameterList& list, const std::string& name, std::int64_t channels, std::int64_t heads, Initializer qkv, Initializer out,
                 bool qkv_bias);
  at::Tensor operator()(const Pass& pass, const at::Tensor& x) const;

 private:
  std::int64_t heads_ = 1;
  Linear qkv_, out_;
};

// Linear, GELU, linear.
class FeedForward {
 public:
  enum class Gelu { exact, tanh };
  FeedForward() = default;
  FeedForward(ParameterList& list, const std::string& name, std::int64_t channels, std::int64_t hidden, Initializer in, Initializer out, Gelu gelu);
  at::Tensor operator()(const Pass& pass, const at::Tensor& x) const;

 private:
  Linear in_, out_;
  Gelu gelu_ = Gelu::exact;
};

}  // namespace dpm
