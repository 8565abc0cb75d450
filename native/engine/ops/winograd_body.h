// The kernels of winograd.h for one instruction set. Included after `#pragma GCC target` by winograd_avx2.cpp and
// winograd_avx512.cpp in their own namespace, after product_body.h.

// Floats between the matrices of two of the 16 places: never a multiple of a page, where all would fall on the same lines of
// the first cache.
inline std::int64_t plane_of(std::int64_t rows, std::int64_t channels) { return rows * channels + kPlaneGap; }

// Where the 4×4 inputs of a tile lie: row and column -1 … 2 of its first output; outside the image, zeros.
inline void find_inputs(const WinogradShape& shape, const float* x, std::int64_t channels, std::int64_t tile, const float* zeros,
                        const float* (&found)[16]) {
  const std::int64_t across = shape.tiles_across(), per_image = shape.tiles_down() * across;
  const std::int64_t image = tile / per_image, place = tile % per_image;
  const std::int64_t top = place / across * 2 - 1, left = place % across * 2 - 1;
  for (std::int64_t i = 0; i < 4; ++i) {
    for (std::int64_t j = 0; j < 4; ++j) {
      const std::int64_t row = top + i, column = left + j;
      const bool inside = row >= 0 && row < shape.height && column >= 0 && column < shape.width;
      found[i * 4 + j] = inside ? x + ((image * shape.height + row) * shape.width + column) * channels : zeros;
    }
  }
}

// Bᵀ x B of each tile into transformed[16][rows][channels].
__attribute__((noinline)) void transform_inputs(const WinogradShape& shape, const float* x, std::int64_t channels, std::int64_t begin,
                                                std::int64_t end, const float* zeros, float* transformed, std::int64_t rows) {
  const std::int64_t plane = plane_of(rows, channels);
  for (std::int64_t tile = begin; tile < end; ++tile) {
    const float* from[16];
    find_inputs(shape, x, channels, tile, zeros, from);
    float* const to = transformed + (tile - begin) * channels;
    for (std::int64_t c = 0; c < channels; c += kLanes) {
      Lane half[16];
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        const Lane d0 = Vector::load(from[j] + c), d1 = Vector::load(from[4 + j] + c);
        const Lane d2 = Vector::load(from[8 + j] + c), d3 = Vector::load(from[12 + j] + c);
        half[j] = Vector::subtract(d0, d2);
        half[4 + j] = Vector::add(d1, d2);
        half[8 + j] = Vector::subtract(d2, d1);
        half[12 + j] = Vector::subtract(d1, d3);
      }
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const Lane* const d = half + 4 * i;
        Vector::store(to + (4 * i) * plane + c, Vector::subtract(d[0], d[2]));
        Vector::store(to + (4 * i + 1) * plane + c, Vector::add(d[1], d[2]));
        Vector::store(to + (4 * i + 2) * plane + c, Vector::subtract(d[2], d[1]));
        Vector::store(to + (4 * i + 3) * plane + c, Vector::subtract(d[1], d[3]));
      }
    }
  }
}

// A dy Aᵀ of each tile into transformed[16][rows][channels]: the way back through transform_outputs.
__attribute__((noinline)) void transform_gradients(const WinogradShape& shape, const float* dy, std::int64_t begin, std::int64_t end,
                                                   const float* zeros, float* transformed, std::int64_t rows) {
  const std::int64_t channels = shape.out, plane = plane_of(rows, channels);
  const std::int64_t across = shape.tiles_across(), per_image = shape.tiles_down() * across;
  for (std::int64_t tile = begin; tile < end; ++tile) {
    const std::int64_t image = tile / per_image, place = tile % per_image;
    const std::int64_t row = place / across * 2, column = place % across * 2;
    const float* const corner = dy + ((image * shape.height + row) * shape.width + column) * channels;
    const bool below = row + 1 < shape.height, beside = column + 1 < shape.width;
    const float* const from[4] = {corner, beside ? corner + channels : zeros, below ? corner + shape.width * channels : zeros,
                                  below && beside ? corner + (shape.width + 1) * channels : zeros};
    float* const to = transformed + (tile - begin) * channels;
    for (std::int64_t c = 0; c < channels; c += kLanes) {
      const Lane a = Vector::load(from[0] + c), b = Vector::load(from[1] + c);
      const Lane d = Vector::load(from[2] + c), e = Vector::load(from[3] + c);
      // Rows of A: (1, 0), (1, 1), (1, -1), (0, -1).
      const Lane left[4] = {a, Vector::add(a, d), Vector::subtract(a, d), Vector::subtract(Vector::zero(), d)};
      const Lane right[4] = {b, Vector::add(b, e), Vector::subtract(b, e), Vector::subtract(Vector::zero(), e)};
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        Vector::store(to + (4 * i) * plane + c, left[i]);
        Vector::store(to + (4 * i + 1) * plane + c, Vector::add(left[i], right[i]));
        Vector::store(to + (4 * i + 2) * plane + c, Vector::subtract(left[i], right[i]));
        Vector::store(to + (4 * i + 3) * plane + c, Vector::subtract(Vector::zero(), right[i]));
      }
    }
  }
}

// Aᵀ m A + bias of each tile into y.
__attribute__((noinline)) void transform_outputs(const WinogradShape& shape, const float* products, const float* bias, std::int64_t begin,
                                                 std::int64_t end, std::int64_t rows, float* y) {
  const std::int64_t channels = shape.out, plane = plane_of(rows, channels);
  const std::int64_t across = shape.tiles_across(), per_image = shape.tiles_down() * across;
  for (std::int64_t tile = begin; tile < end; ++tile) {
    const std::int64_t image = tile / per_image, place = tile % per_image;
    const std::int64_t row = place / across * 2, column = place % across * 2;
    float* const corner = y + ((image * shape.height + row) * shape.width + column) * channels;
    const bool below = row + 1 < shape.height, beside = column + 1 < shape.width;
    const float* const from = products + (tile - begin) * channels;
    for (std::int64_t c = 0; c < channels; c += kLanes) {
      Lane upper[4], lower[4];
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        const Lane m0 = Vector::load(from + j * plane + c), m1 = Vector::load(from + (4 + j) * plane + c);
        const Lane m2 = Vector::load(from + (8 + j) * plane + c), m3 = Vector::load(from + (12 + j) * plane + c);
        upper[j] = Vector::add(Vector::add(m0, m1), m2);
        lower[j] = Vector::subtract(Vector::subtract(m1, m2), m3);
      }
      const Lane start = bias != nullptr ? Vector::load(bias + c) : Vector::zero();
      Vector::store(corner + c, Vector::add(start, Vector::add(Vector::add(upper[0], upper[1]), upper[2])));
      if (beside) Vector::store(corner + channels + c, Vector::add(start, Vector::subtract(Vector::subtract(upper[1], upper[2]), upper[3])));
      if (!below) continue;
      float* const under = corner + shape.width * channels + c;
      Vector::store(under, Vector::add(start, Vector::add(Vector::add(lower[0], lower[1]), lower[2])));
      if (beside) Vector::store(under + channels, Vector::add(start, Vector::subtract(Vector::subtract(lower[1], lower[2]), lower[3])));
    }
  }
}

// packed[16][panel][in][lanes of the panel]: panels of kPanel columns, the last of kLanes where `out` is an odd number of them.
void pack(const float* taps, std::int64_t in, std::int64_t out, std::int64_t begin, std::int64_t end, float* packed) {
  const Lane half = Vector::spread(0.5f);
  for (std::int64_t panel = begin; panel < end; panel += kPanel) {
    const std::int64_t width = out - panel < kPanel ? out - panel : kPanel;
    for (std::int64_t i = 0; i < in; ++i) {
      for (std::int64_t v = 0; v < width; v += kLanes) {
        const float* const from = taps + i * out + panel + v;
        Lane rows[4][3];
#pragma GCC unroll 3
        for (int s = 0; s < 3; ++s) {
          const Lane g0 = Vector::load(from + s * in * out), g1 = Vector::load(from + (3 + s) * in * out);
          const Lane g2 = Vector::load(from + (6 + s) * in * out);
          const Lane sum = Vector::add(g0, g2);
          rows[0][s] = g0;
          rows[1][s] = Vector::multiply(half, Vector::add(sum, g1));
          rows[2][s] = Vector::multiply(half, Vector::subtract(sum, g1));
          rows[3][s] = g2;
        }
        float* const to = packed + panel * in + i * width + v;
        const std::int64_t plane = in * out;
#pragma GCC unroll 4
        for (int r = 0; r < 4; ++r) {
          const Lane sum = Vector::add(rows[r][0], rows[r][2]);
          Vector::store(to + (4 * r) * plane, rows[r][0]);
          Vector::store(to + (4 * r + 1) * plane, Vector::multiply(half, Vector::add(sum, rows[r][1])));
          Vector::store(to + (4 * r + 2) * plane, Vector::multiply(half, Vector::subtract(sum, rows[r][1])));
          Vector::store(to + (4 * r + 3) * plane, rows[r][2]);
        }
      }
    }
  }
}

void forward(const WinogradShape& shape, const float* x, const float* packed, const float* bias, float* y, std::int64_t begin, std::int64_t end,
             std::int64_t block, float* scratch) {
  const std::int64_t in = shape.in, out = shape.out, rows = (block + kRows - 1) / kRows * kRows;
  float* const inputs = scratch;
  float* const products = inputs + 16 * plane_of(rows, in);
  const float* const zeros = products + 16 * plane_of(rows, out);
  for (std::int64_t first = begin; first < end; first += block) {
    const std::int64_t last = first + block < end ? first + block : end;
    transform_inputs(shape, x, in, first, last, zeros, inputs, rows);
    for (std::int64_t place = 0; place < 16; ++place) {
      const float* const left = inputs + place * plane_of(rows, in);
      float* const to = products + place * plane_of(rows, out);
      for (std::int64_t column = 0; column < out; column += kPanel) {
        const float* const panel = packed + place * in * out + column * in;
        for (std::int64_t row = 0; row < last - first; row += kRows) {
          if (out - column >= kPanel) {
            product<kRows, 2, Start::zero>(left + row * in, in, 1, panel, kPanel, in, to + row * out + column, out);
          } else {
            product<kRows, 1, Start::zero>(left + row * in, in, 1, panel, kLanes, in, to + row * out + column, out);
          }
        }
      }
    }
    transform_outputs(shape, products, bias, first, last, rows, y);
  }
}

template <Start From>
inline void add_products(const float* gradients, const float* inputs, std::int64_t tiles, std::int64_t in, std::int64_t out, float* sums) {
  for (std::int64_t column = 0; column < in; column += kPanel) {
    for (std::int64_t row = 0; row < out; row += kWeightRows) {
      if (in - column >= kPanel) {
        product<kWeightRows, 2, From>(gradients + row, 1, out, inputs + column, in, tiles, sums + row * in + column, in);
      } else {
        product<kWeightRows, 1, From>(gradients + row, 1, out, inputs + column, in, tiles, sums + row * in + column, in);
      }
    }
  }
}

void backward_weight(const WinogradShape& shape, const float* x, const float* dy, float* sums, std::int64_t begin, std::int64_t end,
                     std::int64_t block, float* scratch) {
  const std::int64_t in = shape.in, out = shape.out, rows = (block + kRows - 1) / kRows * kRows;
  float* const inputs = scratch;
  float* const gradients = inputs + 16 * plane_of(rows, in);
  const float* const zeros = gradients + 16 * plane_of(rows, out);
  for (std::int64_t first = begin; first < end; first += block) {
    const std::int64_t last = first + block < end ? first + block : end;
    transform_inputs(shape, x, in, first, last, zeros, inputs, rows);
    transform_gradients(shape, dy, first, last, zeros, gradients, rows);
    for (std::int64_t place = 0; place < 16; ++place) {
      const float* const left = gradients + place * plane_of(rows, out);
      const float* const right = inputs + place * plane_of(rows, in);
      float* const to = sums + place * in * out;
      if (first == begin) {
        add_products<Start::zero>(left, right, last - first, in, out, to);
      } else {
        add_products<Start::sums>(left, right, last - first, in, out, to);
      }
    }
  }
}

void finish_weight(const float* sums, std::int64_t slices, std::int64_t in, std::int64_t out, std::int64_t begin, std::int64_t end, float* dweight) {
  const std::int64_t plane = in * out;
  const Lane half = Vector::spread(0.5f);
  for (std::int64_t o = begin; o < end; ++o) {
    for (std::int64_t i = 0; i < in; i += kLanes) {
      Lane rows[3][4];
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        Lane u[4];
#pragma GCC unroll 4
        for (int r = 0; r < 4; ++r) {
          const float* const from = sums + (4 * r + j) * plane + o * in + i;
          u[r] = Vector::load(from);
          for (std::int64_t slice = 1; slice < slices; ++slice) u[r] = Vector::add(u[r], Vector::load(from + slice * 16 * plane));
        }
        // Gᵀ: (1, ½, ½, 0), (0, ½, -½, 0), (0, ½, ½, 1).
        const Lane sum = Vector::multiply(half, Vector::add(u[1], u[2]));
        rows[0][j] = Vector::add(u[0], sum);
        rows[1][j] = Vector::multiply(half, Vector::subtract(u[1], u[2]));
        rows[2][j] = Vector::add(sum, u[3]);
      }
#pragma GCC unroll 3
      for (int r = 0; r < 3; ++r) {
        const Lane* const u = rows[r];
        const Lane sum = Vector::multiply(half, Vector::add(u[1], u[2]));
        float* const to = dweight + (o * 9 + 3 * r) * in + i;
        Vector::store(to, Vector::add(u[0], sum));
        Vector::store(to + in, Vector::multiply(half, Vector::subtract(u[1], u[2])));
        Vector::store(to + 2 * in, Vector::add(sum, u[3]));
      }
    }
  }
}

constexpr WinogradKernels kKernels{kLanes, kRows, pack, forward, backward_weight, finish_weight};
