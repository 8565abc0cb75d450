// What the launchers share: grids, and host arrays copied to the device.
#pragma once
#include <cuda_runtime_api.h>

#include <cstdint>

namespace dpm::cuda {

constexpr int kThreads = 256;

inline std::int64_t ceiling(std::int64_t value, std::int64_t divisor) { return (value + divisor - 1) / divisor; }

// Blocks of kThreads over x for the items of one example, examples over y. Kernels stride over both, so that neither is
// limited by the grid's largest extents.
inline dim3 grid_of(std::int64_t items, std::int64_t examples) {
  const std::int64_t columns = ceiling(items, kThreads);
  return dim3(static_cast<unsigned>(columns < (1 << 20) ? columns : 1 << 20), static_cast<unsigned>(examples < 65535 ? examples : 65535));
}

// Device memory for one launch, freed in the stream's order behind it.
//
// Pageable host memory is staged by cudaMemcpyAsync before it returns, so the caller's arrays may go at once. The device's
// default pool hands everything back to the driver at each synchronisation unless told otherwise; it is told to keep a
// little, because a step synchronises and the next one asks for the same again.
class Scratch {
 public:
  explicit Scratch(void* stream) : stream_(static_cast<cudaStream_t>(stream)) {
    int device = 0;
    cudaMemPool_t pool = nullptr;
    std::uint64_t kept = 0;
    check(cudaGetDevice(&device));
    if (error_ == cudaSuccess) check(cudaDeviceGetDefaultMemPool(&pool, device));
    if (error_ == cudaSuccess) check(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &kept));
    if (error_ == cudaSuccess && kept < kKeptBytes) {
      kept = kKeptBytes;
      check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &kept));
    }
  }
  ~Scratch() {
    for (int i = 0; i < count_; ++i) cudaFreeAsync(memory_[i], stream_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  // Null when error() is not 0.
  template <typename Value>
  Value* take(std::int64_t count) {
    if (error_ == cudaSuccess && count_ == kCapacity) error_ = cudaErrorInvalidValue;
    if (error_ != cudaSuccess || count <= 0) return nullptr;
    void* memory = nullptr;
    check(cudaMallocAsync(&memory, static_cast<std::size_t>(count) * sizeof(Value), stream_));
    if (error_ != cudaSuccess) return nullptr;
    memory_[count_++] = memory;
    return static_cast<Value*>(memory);
  }

  template <typename Value>
  const Value* copy(const Value* host, std::int64_t count) {
    Value* const memory = take<Value>(count);
    if (memory != nullptr) {
      check(cudaMemcpyAsync(memory, host, static_cast<std::size_t>(count) * sizeof(Value), cudaMemcpyHostToDevice, stream_));
    }
    return memory;
  }

  cudaStream_t stream() const { return stream_; }
  // The first thing that went wrong.
  cudaError_t error() const { return error_; }

 private:
  static constexpr int kCapacity = 4;
  static constexpr std::uint64_t kKeptBytes = 4 << 20;

  void check(cudaError_t error) {
    if (error_ == cudaSuccess) error_ = error;
  }

  cudaStream_t stream_;
  void* memory_[kCapacity] = {};
  int count_ = 0;
  cudaError_t error_ = cudaSuccess;
};

}  // namespace dpm::cuda
