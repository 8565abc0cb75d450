#include "ops/attention_cpu.h"

#include <ATen/Parallel.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>

#include "ops/attention_narrow_heads.h"
#include "ops/share_out.h"

namespace dpm::cpu {
namespace {

// Vectors and rows of tiles that fit the registers of an instruction set.
using Avx512 = Tiles<16, 8>;
using Avx2 = Tiles<8, 4>;
using Baseline = Tiles<4, 4>;

struct Free {
  void operator()(float* memory) const { ::operator delete (memory, std::align_val_t{64}); }
};
using Scratch = std::unique_ptr<float, Free>;

Scratch scratch_of(std::int64_t floats) {
  return Scratch(static_cast<float*>(::operator new (static_cast<std::size_t>(floats) * sizeof(float), std::align_val_t{64})));
}

template <typename T>
struct ForwardTask {
  HeadRows<const T> joint[3];
  HeadRows<T> mixed;
  float* statistics;
  std::int64_t begin, end;
};

template <typename T>
struct BackwardTask {
  HeadRows<const T> joint[3];
  const float* statistics;
  HeadRows<const T> by_mixed;
  HeadRows<T> by_joint[3];
};

template <typename Head, typename T>
DPM_INLINE void run(const Head& head, const ForwardTask<T>& task, float* scratch) {
  head.forward(task.joint, task.mixed, task.statistics, task.begin, task.end, scratch);
}

template <typename Head, typename T>
DPM_INLINE void run(const Head& head, const BackwardTask<T>& task, float* scratch) {
  head.backward(task.joint, task.statistics, task.by_mixed, task.by_joint, scratch);
}

template <typename Kernel, typename Task>
DPM_INLINE void run(std::int64_t positions, std::int64_t width, const Task& task, float* scratch) {
  if (NarrowHead<Kernel>::fits(width)) return run(NarrowHead<Kernel>{positions, width}, task, scratch);
  run(WideHead<Kernel>{positions, width}, task, scratch);
}

template <typename Task>
__attribute__((target("arch=x86-64-v4"))) void run_avx512(std::int64_t positions, std::int64_t width, const Task& task, float* scratch) {
  run<Avx512>(positions, width, task, scratch);
}

template <typename Task>
__attribute__((target("arch=x86-64-v3"))) void run_avx2(std::int64_t positions, std::int64_t width, const Task& task, float* scratch) {
  run<Avx2>(positions, width, task, scratch);
}

template <typename Task>
void run_baseline(std::int64_t positions, std::int64_t width, const Task& task, float* scratch) {
  run<Baseline>(positions, width, task, scratch);
}

// The widest set of the processor, or with DPM_TORCH_FUSED_ATTENTION=avx2 or =baseline a narrower one, so that all can be tested.
enum class InstructionSet { baseline, avx2, avx512 };

InstructionSet instruction_set() {
  static const InstructionSet chosen = [] {
    const char* const set = std::getenv("DPM_TORCH_FUSED_ATTENTION");
    const std::string most = set ? set : "";
    if (most == "baseline" || !__builtin_cpu_supports("x86-64-v3")) return InstructionSet::baseline;
    return most == "avx2" || !__builtin_cpu_supports("x86-64-v4") ? InstructionSet::avx2 : InstructionSet::avx512;
  }();
  return chosen;
}

template <typename Task>
auto runner() {
  const InstructionSet set = instruction_set();
  return set == InstructionSet::avx512 ? run_avx512<Task> : set == InstructionSet::avx2 ? run_avx2<Task> : run_baseline<Task>;
}

// What size() says of the head that needs the most, whatever the instruction set.
template <typename Size>
std::int64_t largest(std::int64_t positions, std::int64_t width, Size size) {
  if (NarrowHead<Avx512>::fits(width))
    return std::max(
        {size(NarrowHead<Avx512>{positions, width}), size(NarrowHead<Avx2>{positions, width}), size(NarrowHead<Baseline>{positions, width})});
  return std::max({size(WideHead<Avx512>{positions, width}), size(WideHead<Avx2>{positions, width}), size(WideHead<Baseline>{positions, width})});
}

template <typename T>
void locate(const AttentionLayout& a, T* joint, std::int64_t n, std::int64_t head, HeadRows<T> (&parts)[3]) {
  for (std::int64_t part = 0; part < 3; ++part)
    parts[part] = {joint + n * a.image_stride + head * a.head_stride + part * a.part_stride, a.row_stride};
}

template <typename T>
HeadRows<T> locate(const AttentionLayout& a, T* mixed, std::int64_t n, std::int64_t head) {
  const std::int64_t row = a.heads * a.width;
  return {mixed + n * a.positions * row + head * a.width, row};
}

}  // namespace

template <typename T>
void attend(const AttentionLayout& a, const T* joint, T* mixed, float* statistics) {
  // Where there are fewer heads than threads, the queries of a head are shared: each query's numbers are its own.
  constexpr std::int64_t kBlock = WideHead<Avx512>::block;
  const std::int64_t heads = a.count * a.heads, blocks = (a.positions + kBlock - 1) / kBlock;
  if (heads == 0 || a.positions == 0) return;
  const std::int64_t parts = std::clamp<std::int64_t>(2 * at::get_num_threads() / heads, 1, blocks);
  const auto run_task = runner<ForwardTask<T>>();
  share_out(heads * parts, [&](const auto& take) {
    const Scratch scratch = scratch_of(largest(a.positions, a.width, [](const auto& head) { return head.forward_scratch(); }));
    for (std::int64_t task = 0; take(task);) {
      const std::int64_t head = task / parts, part = task % parts, n = head / a.heads;
      ForwardTask<T> work{{},
                          locate(a, mixed, n, head % a.heads),
                          statistics ? statistics + 2 * head * a.positions : nullptr,
                          part * blocks / parts * kBlock,
                          std::min((part + 1) * blocks / parts * kBlock, a.positions)};
      locate(a, joint, n, head % a.heads, work.joint);
      run_task(a.positions, a.width, work, scratch.get());
    }
  });
}

template <typename T>
void attend_backward(const AttentionLayout& a, const T* joint, const float* statistics, const T* by_mixed, T* by_joint) {
  const std::int64_t heads = a.count * a.heads, row = 3 * a.heads * a.width;
  if (heads == 0 || a.positions == 0) return;
  AttentionLayout gradient = a;
  gradient.row_stride = row;
  gradient.image_stride = a.positions * row;
  const auto run_task = runner<BackwardTask<T>>();
  share_out(heads, [&](const auto& take) {
    const Scratch scratch = scratch_of(largest(a.positions, a.width, [](const auto& head) { return head.backward_scratch(); }));
    for (std::int64_t head = 0; take(head);) {
      const std::int64_t n = head / a.heads;
      BackwardTask<T> work{{}, statistics + 2 * head * a.positions, locate(a, by_mixed, n, head % a.heads), {}};
      locate(a, joint, n, head % a.heads, work.joint);
      locate(gradient, by_joint, n, head % a.heads, work.by_joint);
      run_task(a.positions, a.width, work, scratch.get());
    }
  });
}

template void attend(const AttentionLayout&, const float*, float*, float*);
template void attend(const AttentionLayout&, const c10::BFloat16*, c10::BFloat16*, float*);
template void attend(const AttentionLayout&, const c10::Half*, c10::Half*, float*);
template void attend_backward(const AttentionLayout&, const float*, const float*, const float*, float*);
template void attend_backward(const AttentionLayout&, const c10::BFloat16*, const float*, const c10::BFloat16*, c10::BFloat16*);
template void attend_backward(const AttentionLayout&, const c10::Half*, const float*, const c10::Half*, c10::Half*);

}  // namespace dpm::cpu
