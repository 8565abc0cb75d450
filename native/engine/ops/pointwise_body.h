// The kernels of pointwise.h for one instruction set: included by pointwise_avx2.cpp and pointwise_avx512.cpp in their own
// namespace, after product_body.h.

// Rows of x that stay in the second cache while all panels of the weight pass.
constexpr std::int64_t kBlockRows = 8 * kRows;
// Rows whose products a gradient sums in registers.
constexpr std::int64_t kDepthRows = 256;

template <int Columns>
inline void multiply_rows(const float* x, std::int64_t in, const float* panel, const float* bias, float* y, std::int64_t out) {
  if (bias != nullptr) {
    product<kRows, Columns, Start::bias>(x, in, 1, panel, Columns * kLanes, in, y, out, bias);
  } else {
    product<kRows, Columns, Start::zero>(x, in, 1, panel, Columns * kLanes, in, y, out);
  }
}

void multiply(const PointwiseShape& shape, const float* x, const float* packed, const float* bias, float* y, std::int64_t begin, std::int64_t end) {
  const std::int64_t in = shape.in, out = shape.out;
  for (std::int64_t first = begin; first < end; first += kBlockRows) {
    const std::int64_t last = first + kBlockRows < end ? first + kBlockRows : end;
    for (std::int64_t column = 0; column < out; column += kPanel) {
      const float* const panel = packed + column * in;
      const float* const start = bias != nullptr ? bias + column : nullptr;
      for (std::int64_t next = first; next < last; next += kRows) {
        // The last rows come out twice where they do not fill the registers.
        const std::int64_t row = next + kRows <= end ? next : end - kRows;
        if (out - column >= kPanel) {
          multiply_rows<2>(x + row * in, in, panel, start, y + row * out + column, out);
        } else {
          multiply_rows<1>(x + row * in, in, panel, start, y + row * out + column, out);
        }
      }
    }
  }
}

template <int Columns, Start From>
inline void multiply_gradients(const PointwiseShape& shape, const float* dy, const float* panel, std::int64_t rows, std::int64_t begin,
                               std::int64_t end, float* dweight) {
  for (std::int64_t o = begin; o < end; o += kWeightRows) {
    product<kWeightRows, Columns, From>(dy + o, 1, shape.out, panel, Columns * kLanes, rows, dweight + o * shape.in, shape.in);
  }
}

template <int Columns>
inline void add_panel(const PointwiseShape& shape, const float* x, const float* dy, std::int64_t rows, bool first, std::int64_t begin,
                      std::int64_t end, float* panel, float* dweight) {
  for (std::int64_t row = 0; row < rows; ++row) {
#pragma GCC unroll 2
    for (int v = 0; v < Columns; ++v) Vector::store(panel + (row * Columns + v) * kLanes, Vector::load(x + row * shape.in + v * kLanes));
  }
  if (first) {
    multiply_gradients<Columns, Start::zero>(shape, dy, panel, rows, begin, end, dweight);
  } else {
    multiply_gradients<Columns, Start::sums>(shape, dy, panel, rows, begin, end, dweight);
  }
}

void add_columns(const float* dy, std::int64_t out, std::int64_t rows, std::int64_t begin, std::int64_t end, float* sums) {
  for (std::int64_t o = begin; o < end; o += kLanes) {
    Lane sum = Vector::zero();
    for (std::int64_t row = 0; row < rows; ++row) sum = Vector::add(sum, Vector::load(dy + row * out + o));
    Vector::store(sums + o, Vector::add(Vector::load(sums + o), sum));
  }
}

void backward_weight(const PointwiseShape& shape, const float* x, const float* dy, const PointwisePart& part, float* panel, float* dweight,
                     float* dbias) {
  const std::int64_t in = shape.in, out = shape.out;
  for (std::int64_t first = 0; first < shape.rows; first += kDepthRows) {
    const std::int64_t rows = first + kDepthRows < shape.rows ? kDepthRows : shape.rows - first;
    const float* const up = dy + first * out;
    if (dbias != nullptr) add_columns(up, out, rows, part.out_begin, part.out_end, dbias);
    for (std::int64_t column = part.in_begin; column < part.in_end; column += kPanel) {
      const float* const from = x + first * in + column;
      if (part.in_end - column >= kPanel) {
        add_panel<2>(shape, from, up, rows, first == 0, part.out_begin, part.out_end, panel, dweight + column);
      } else {
        add_panel<1>(shape, from, up, rows, first == 0, part.out_begin, part.out_end, panel, dweight + column);
      }
    }
  }
}

constexpr PointwiseKernels kKernels{kPanel, kRows, kDepthRows, multiply, backward_weight};
