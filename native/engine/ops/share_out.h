// Pieces of work that threads take as they come free: where another program has the core of one, the others do its part.
#pragma once
#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace dpm::cpu {

// Runs `worker(take)` on every thread; `take(piece)` gives it the next of `count` pieces, false when none is left. For pieces
// whose numbers do not depend on who computes them, or in what order.
template <typename Worker>
void share_out(std::int64_t count, const Worker& worker) {
  std::atomic<std::int64_t> next{0};
  at::parallel_for(0, std::min<std::int64_t>(count, at::get_num_threads()), 1, [&](std::int64_t, std::int64_t) {
    worker([&](std::int64_t& piece) {
      piece = next.fetch_add(1, std::memory_order_relaxed);
      return piece < count;
    });
  });
}

}  // namespace dpm::cpu
