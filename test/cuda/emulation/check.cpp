// Runs every CUDA launcher, on the emulated runtime beside this file, against the CPU launcher. Prints one line per
// comparison: its name and `same`, or what differs. Sizes are odd, so that blocks end in the middle.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "cuda/launchers.h"

using namespace dpm;

namespace {

using Floats = std::vector<float>;

constexpr std::int64_t kCount = 3, kChannels = 3, kSpatial = 121, kSize = kChannels * kSpatial;
const std::vector<double> kExamples{5, 70000, 1}, kEpochs{0, 2, 3};
const Key kKey = key_of(7123456789.0);

void say(const std::string& name, bool same) { std::printf("%s: %s\n", name.c_str(), same ? "same" : "differs"); }

void compare(const std::string& name, const Floats& cpu, const Floats& cuda) {
  say(name, std::memcmp(cpu.data(), cuda.data(), cpu.size() * sizeof(float)) == 0);
}

Floats draw(std::int64_t size, double example) {
  Floats values(static_cast<std::size_t>(size));
  cpu::normals({values.data(), &example, 1, 1, size, kKey, 0, 0, false});
  return values;
}

void check_noise(const std::vector<Row>& rows) {
  for (const bool channels_last : {false, true}) {
    Floats ours(kCount * kSize), theirs(kCount * kSize);
    NormalArguments a{ours.data(), kExamples.data(), kCount, kChannels, kSpatial, kKey, 1, 9, channels_last};
    cpu::normals(a);
    a.out = theirs.data();
    cuda::normals(&a, nullptr);
    compare(channels_last ? "normals, channels last" : "normals", ours, theirs);
  }
  std::vector<std::uint8_t> bytes(kCount * kSize);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 37);
  const Floats images = draw(kCount * kSize, 3);
  for (const bool from_bytes : {false, true}) {
    const void* source = from_bytes ? static_cast<const void*>(bytes.data()) : images.data();
    Floats input(kCount * kSize), target(input), input_there(input), target_there(input);
    NoiseStepArguments a{source, from_bytes, input.data(), target.data(), rows.data(), kExamples.data(), kEpochs.data(), kCount, kChannels, kSpatial, kKey};
    cpu::noise_step(a);
    a.input = input_there.data();
    a.target = target_there.data();
    cuda::noise_step(&a, nullptr);
    compare("noise step, input", input, input_there);
    compare("noise step, target", target, target_there);
  }
}

void check_combine() {
  const Floats x = draw(kCount * kSize, 1), y = draw(kCount * kSize, 2);
  for (const int terms : {1, 2, 3, CombineArguments::capacity}) {
    Floats ours(x.size()), theirs(x.size());
    CombineArguments a{};
    a.terms_count = terms;
    a.size = kCount * kSize;
    for (int k = 0; k < terms; ++k) {
      a.terms[k] = k % 2 == 0 ? x.data() : y.data();
      a.coefficients[k] = 0.3f * static_cast<float>(k) - 1.0f;
    }
    a.out = ours.data();
    cpu::combine(a);
    a.out = theirs.data();
    cuda::combine(&a, nullptr);
    compare("combine, terms " + std::to_string(terms), ours, theirs);
  }
}

void check_ratio() {
  const Floats x = draw(kCount * kSize, 1), y = draw(kCount * kSize, 2);
  for (const Measure measure : {Measure::norm, Measure::deviation}) {
    Floats ours(x.size()), theirs(x.size());
    RatioArguments a{ours.data(), x.data(), y.data(), kCount, kSize, measure, 0.3, -1.5};
    cpu::ratio(a);
    a.out = theirs.data();
    cuda::ratio(&a, nullptr);
    compare("ratio, measure " + std::to_string(static_cast<int>(measure)), ours, theirs);
  }
}

void check_loss(const std::vector<Row>& rows) {
  const Floats target = draw(kCount * kSize, 4);
  for (const LossKind kind : {LossKind::l2, LossKind::l1, LossKind::huber, LossKind::pseudo_huber}) {
    for (const bool spoiled : {false, true}) {
      Floats output = draw(kCount * kSize, 5);
      if (spoiled) output[kSize + 5] = std::numeric_limits<float>::infinity();
      Floats ours(output.size()), theirs(output.size());
      double losses[kCount], losses_there[kCount];
      LossArguments a{output.data(), target.data(), ours.data(), losses, rows.data(), 7, kCount, kSize, kind, 0.7};
      cpu::loss(a);
      a.gradient = theirs.data();
      a.losses = losses_there;
      cuda::loss(&a, nullptr);
      const std::string name = "loss " + std::to_string(static_cast<int>(kind)) + (spoiled ? ", infinite" : "");
      compare(name + ", gradient", ours, theirs);
      bool close = true;
      for (int n = 0; n < kCount; ++n) {
        // Infinity by infinity is no number on either side.
        const bool neither = losses[n] != losses[n] && losses_there[n] != losses_there[n];
        close = close && (neither || losses[n] == losses_there[n] || std::fabs(losses_there[n] / losses[n] - 1) < 1e-14);
      }
      say(name, close);
    }
  }
}

void check_update() {
  constexpr std::int64_t size = 40007;
  Floats state[2][6];
  for (int k = 0; k < 6; ++k) state[0][k] = draw(size, 10 + k);
  for (float& second : state[0][3]) second *= second;
  for (int k = 0; k < 6; ++k) state[1][k] = state[0][k];

  double norm = 0;
  cuda::squared_norm(state[0][0].data(), size, &norm, nullptr);
  say("squared norm", std::fabs(norm / cpu::squared_norm(state[0][0].data(), size) - 1) < 1e-13);

  OptimizerArguments a{};
  a.averages_count = 2;
  a.size = size;
  a.gradient_scale = 0.7f;
  a.beta1 = 0.9f;
  a.beta2 = 0.999f;
  a.epsilon = 1e-8f;
  a.step_size = 1e-3f;
  a.second_correction = 1.3f;
  a.decay = 0.01f;
  a.shrink = 0.999f;
  for (int side = 0; side < 2; ++side) {
    a.values = state[side][0].data();
    a.gradients = state[side][1].data();
    a.first = state[side][2].data();
    a.second = state[side][3].data();
    for (int k = 0; k < 2; ++k) {
      a.averages[k] = state[side][4 + k].data();
      a.keep[k] = k == 0 ? 0.999f : 0.5f;
    }
    if (side == 0) cpu::optimizer(a);
    if (side == 1) cuda::optimizer(&a, nullptr);
  }
  const char* const names[6] = {"values", "gradients", "first", "second", "average 0", "average 1"};
  for (int k = 0; k < 6; ++k) compare(std::string("optimizer, ") + names[k], state[0][k], state[1][k]);
}

void check_dropout() {
  const Floats x = draw(kCount * kSize, 6);
  Floats ours(x.size()), theirs(x.size());
  DropoutArguments a{x.data(), ours.data(), kExamples.data(), kEpochs.data(), kCount, kSize, kKey, 3, 0.3f};
  cpu::dropout(a);
  a.out = theirs.data();
  cuda::dropout(&a, nullptr);
  compare("dropout", ours, theirs);
}

}  // namespace

int main() {
  std::vector<Row> rows;
  for (int n = 0; n < kCount; ++n) rows.push_back({0.3 + n, 0.9 - n * 0.1, 1.1, 5, 0.2 * n, 1 - 0.2 * n, 0.5 + n, 0, 0, 0, 0, 0, 0});
  check_noise(rows);
  check_combine();
  check_ratio();
  check_loss(rows);
  check_update();
  check_dropout();
  return 0;
}
