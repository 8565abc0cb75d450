#include "networks/unet_2d_layers.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/add.h>
#include <ATen/ops/cat.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "error.h"
#include "layers/recompute.h"
#include "layers/resampling.h"

namespace dpm {
namespace {

template <typename Choice>
Choice choice_of(const Settings& layer, const std::string& setting, const std::map<std::string, Choice>& choices) {
  const auto found = choices.find(layer.text(setting));
  DPM_CHECK(found != choices.end(), "DPM_INVALID_OPTION", "There is no native `" + setting + "` named \"" + layer.text(setting) + "\".");
  return found->second;
}

ResidualSettings residual_settings(const Settings& layer, const Unet2dLayerSettings& shared) {
  using Modulation = ResidualSettings::Modulation;
  using Shortcut = ResidualSettings::Shortcut;
  using Resize = ResidualSettings::Resize;
  ResidualSettings result{layer.integer("in"),     layer.integer("inner"),       layer.integer("out"),
                          layer.integer("groups"), layer.integer("innerGroups"), shared.embedding_channels};
  result.modulation = choice_of<Modulation>(
      layer, "modulation",
      {{"none", Modulation::none}, {"shift", Modulation::shift}, {"scale-shift", Modulation::scale_shift}, {"adaptive", Modulation::adaptive}});
  result.shortcut = choice_of<Shortcut>(layer, "shortcut", {{"none", Shortcut::none}, {"biased", Shortcut::biased}, {"bare", Shortcut::bare}});
  result.resize = choice_of<Resize>(layer, "resize",
                                    {{"none", Resize::none},
                                     {"halve", Resize::halve},
                                     {"twice", Resize::twice},
                                     {"smooth-halve", Resize::smooth_halve},
                                     {"smooth-twice", Resize::smooth_twice}});
  result.activation = shared.activation;
  result.epsilon = shared.epsilon;
  result.dropout = shared.dropout;
  result.scale = layer.number("scale");
  return result;
}

class Residual final : public Unet2dLayer {
 public:
  Residual(ParameterList& list, const Settings& layer, const Unet2dLayerSettings& shared)
      : block_(list, layer.text("name"), residual_settings(layer, shared), shared.start) {}
  void operator()(Unet2dFlow& flow) const override {
    flow.features = recompute(flow.pass, flow.features, block_.told(flow.embedding), [this](Pass& pass, const at::Tensor& x, const at::Tensor& told) {
      return block_(pass, x, Embedding{told, told});
    });
  }

 private:
  ResidualBlock block_;
};

class SelfAttention final : public Unet2dLayer {
 public:
  SelfAttention(ParameterList& list, const Settings& layer, const Unet2dLayerSettings& shared)
      : attention_(list, layer.text("name"),
                   {layer.integer("channels"), layer.integer("heads"), false, layer.integer("groups"), shared.epsilon, layer.number("scale"),
                    layer.integer("inner")},
                   shared.start) {}
  void operator()(Unet2dFlow& flow) const override {
    // Nothing is read beside x.
    flow.features = recompute(flow.pass, flow.features, flow.features.detach(),
                              [this](Pass& pass, const at::Tensor& x, const at::Tensor&) { return attention_(pass, x); });
  }

 private:
  Attention attention_;
};

// x + attention(adaptive norm(x)).
class AdaptiveHalf {
 public:
  AdaptiveHalf(ParameterList& list, const std::string& norm, const std::string& attention, const Settings& layer, const Unet2dLayerSettings& shared)
      : norm_(list, norm, layer.integer("channels"), layer.integer("groups"), kEpsilon, shared.embedding_channels, shared.start),
        qkv_(list, attention + ".qkv", layer.integer("channels"), 3 * layer.integer("inner"), shared.start),
        out_(list, attention + ".out", layer.integer("inner"), layer.integer("channels"), shared.start, Role::last),
        heads_(layer.integer("heads")),
        inner_(layer.integer("inner")) {}

  at::Tensor operator()(const Pass& pass, const at::Tensor& x, const at::Tensor& embedding) const {
    const std::int64_t count = x.size(0), height = x.size(2), width = x.size(3);
    const at::Tensor joint = qkv_.pointwise(pass, norm_(pass, x, embedding));
    const at::Tensor mixed = attend(pass, joint.permute({0, 2, 3, 1}).reshape({count, height * width, 3 * inner_}), heads_);
    return x + out_.pointwise(pass, mixed.reshape({count, height, width, inner_}).permute({0, 3, 1, 2}));
  }

 private:
  static constexpr double kEpsilon = 1e-5;  // of these norms alone, whatever the network's is

  AdaptiveGroupNorm norm_;
  Linear qkv_, out_;
  std::int64_t heads_, inner_;
};

class AdaptiveAttention final : public Unet2dLayer {
 public:
  AdaptiveAttention(ParameterList& list, const Settings& layer, const Unet2dLayerSettings& shared) {
    const std::string name = layer.text("name");
    if (layer.flag("twice")) first_.emplace(list, name + ".norm1", name + ".self", layer, shared);
    second_.emplace(list, name + ".norm2", name + ".cross", layer, shared);
    // The norm of a text, which is never read: it is kept so that a file of weights comes out as it went in.
    const std::vector<std::int64_t> shape{layer.integer("channels")};
    list.add_statistic(name + ".cross.text.weight", shape, {Initializer::Kind::ones, 0});
    list.add_statistic(name + ".cross.text.bias", shape, {});
  }
  void operator()(Unet2dFlow& flow) const override {
    flow.features = recompute(flow.pass, flow.features, flow.embedding.plain, [this](Pass& pass, const at::Tensor& x, const at::Tensor& embedding) {
      return (*second_)(pass, first_ ? (*first_)(pass, x, embedding) : x, embedding);
    });
  }

 private:
  std::optional<AdaptiveHalf> first_, second_;
};

class Halve final : public Unet2dLayer {
 public:
  Halve(ParameterList& list, const Settings& layer, const Unet2dLayerSettings& shared)
      : convolution_(list, layer.text("name"), layer.integer("channels"), layer.integer("channels"), 3, shared.start),
        padding_(layer.integer("padding")) {}
  void operator()(Unet2dFlow& flow) const override { flow.features = convolution_.halve(flow.pass, flow.features, padding_ == 0); }

 private:
  Convolution convolution_;
  std::int64_t padding_;
};

class Twice final : public Unet2dLayer {
 public:
  Twice(ParameterList& list, const Settings& layer, const Unet2dLayerSettings& shared)
      : convolution_(list, layer.text("name"), layer.integer("channels"), layer.integer("channels"), 3, shared.start),
        height_(layer.integer("height")),
        width_(layer.integer("width")) {}
  void operator()(Unet2dFlow& flow) const override {
    const at::Tensor& x = flow.features;
    const bool exact = height_ == 2 * x.size(2) && width_ == 2 * x.size(3);
    flow.features = convolution_(flow.pass, exact ? double_size(x) : nearest_size(x, height_, width_));
  }

 private:
  Convolution convolution_;
  std::int64_t height_, width_;
};

// The image joins the features on the way down.
class AddPicture final : public Unet2dLayer {
 public:
  AddPicture(ParameterList& list, const Settings& layer, const Unet2dLayerSettings& shared)
      : convolution_(list, layer.text("name"), shared.input_channels, layer.integer("channels"), 1, shared.start) {}
  void operator()(Unet2dFlow& flow) const override {
    flow.picture = smooth_half_size(flow.picture, Border::zeros);
    flow.features = convolution_(flow.pass, flow.picture) + flow.features;
  }

 private:
  Convolution convolution_;
};

// A part of the output is painted from the features on the way up.
class Paint final : public Unet2dLayer {
 public:
  Paint(ParameterList& list, const Settings& layer, const Unet2dLayerSettings& shared)
      : norm_(list, layer.text("name") + ".norm", layer.integer("channels"), layer.integer("groups"), shared.epsilon),
        convolution_(list, layer.text("name") + ".conv", layer.integer("channels"), shared.output_channels, 3, shared.start, Role::last) {}
  void operator()(Unet2dFlow& flow) const override {
    const at::Tensor here = convolution_(flow.pass, norm_.silu(flow.pass, flow.features));
    flow.painted = flow.painted.defined() ? flow.painted + here : here;
  }

 private:
  GroupNorm norm_;
  Convolution convolution_;
};

// A layer without parameters.
class Plain final : public Unet2dLayer {
 public:
  explicit Plain(void (*step)(Unet2dFlow&)) : step_(step) {}
  void operator()(Unet2dFlow& flow) const override { step_(flow); }

 private:
  void (*step_)(Unet2dFlow&);
};

using Make = std::function<std::unique_ptr<Unet2dLayer>(ParameterList&, const Settings&, const Unet2dLayerSettings&)>;

template <typename Layer>
Make make() {
  return [](ParameterList& list, const Settings& layer, const Unet2dLayerSettings& shared) { return std::make_unique<Layer>(list, layer, shared); };
}

Make plain(void (*step)(Unet2dFlow&)) {
  return [step](ParameterList&, const Settings&, const Unet2dLayerSettings&) { return std::make_unique<Plain>(step); };
}

const std::map<std::string, Make>& makers() {
  static const auto* const list = new std::map<std::string, Make>{
      {"residual", make<Residual>()},
      {"attention", make<SelfAttention>()},
      {"adaptive-attention", make<AdaptiveAttention>()},
      {"halve", make<Halve>()},
      {"twice", make<Twice>()},
      {"add-picture", make<AddPicture>()},
      {"paint", make<Paint>()},
      {"smooth-halve", plain([](Unet2dFlow& flow) { flow.features = smooth_half_size(flow.features, Border::mirrored); })},
      {"smooth-twice", plain([](Unet2dFlow& flow) { flow.features = smooth_double_size(flow.features, Border::mirrored); })},
      {"double-painted", plain([](Unet2dFlow& flow) { flow.painted = smooth_double_size(flow.painted, Border::zeros); })},
      {"save", plain([](Unet2dFlow& flow) { flow.skips.push_back(flow.features); })},
      {"drop", plain([](Unet2dFlow& flow) { flow.skips.pop_back(); })},
      {"join", plain([](Unet2dFlow& flow) {
         flow.features = at::cat({flow.features, flow.skips.back()}, 1);
         flow.skips.pop_back();
       })},
  };
  return *list;
}

}  // namespace

std::unique_ptr<Unet2dLayer> make_unet_2d_layer(ParameterList& list, const Settings& layer, const Unet2dLayerSettings& shared) {
  const auto found = makers().find(layer.text("layer"));
  DPM_CHECK(found != makers().end(), "DPM_INVALID_OPTION", "There is no native layer named \"" + layer.text("layer") + "\".");
  return found->second(list, layer, shared);
}

}  // namespace dpm
