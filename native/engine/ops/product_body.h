// A product of small matrices in registers, for one instruction set: what the convolutions of ops/winograd.h and ops/pointwise.h
// are made of. Included after the `Vector` of ops/vector_*.h, in its namespace.

using Lane = Vector::Type;

constexpr std::int64_t kLanes = Vector::lanes;
constexpr std::int64_t kPanel = 2 * kLanes;
constexpr int kRows = Vector::rows;               // tiles in the registers of a product
constexpr int kWeightRows = Vector::weight_rows;  // output channels in those of a gradient

// What a product adds to.
enum class Start {
  zero,
  sums,  // what c holds
  bias,  // a row of numbers, the same for every row of c
};

// c (+)= a b for Rows × (Columns registers): element (row, d) of a at a[row * a_row + d * a_depth], row d of b at b + d * b_depth.
template <int Rows, int Columns, Start From>
__attribute__((noinline)) void product(const float* a, std::int64_t a_row, std::int64_t a_depth, const float* b, std::int64_t b_depth,
                                       std::int64_t depth, float* c, std::int64_t c_row, const float* bias = nullptr) {
  Lane sums[Rows][Columns];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < Columns; ++v) {
      if constexpr (From == Start::sums) {
        sums[r][v] = Vector::load(c + r * c_row + v * kLanes);
      } else if constexpr (From == Start::bias) {
        sums[r][v] = Vector::load(bias + v * kLanes);
      } else {
        sums[r][v] = Vector::zero();
      }
    }
  }
  for (std::int64_t d = 0; d < depth; ++d) {
    Lane right[Columns];
#pragma GCC unroll 2
    for (int v = 0; v < Columns; ++v) right[v] = Vector::load(b + d * b_depth + v * kLanes);
    if constexpr (From != Start::sums) {
#pragma GCC unroll 2
      for (int v = 0; v < Columns; ++v) __builtin_prefetch(b + (depth + d) * b_depth + v * kLanes, 0, 2);
    }
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const Lane left = Vector::spread(a[r * a_row + d * a_depth]);
#pragma GCC unroll 2
      for (int v = 0; v < Columns; ++v) sums[r][v] = Vector::multiply_add(left, right[v], sums[r][v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < Columns; ++v) Vector::store(c + r * c_row + v * kLanes, sums[r][v]);
  }
}
