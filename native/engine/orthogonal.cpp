#include "orthogonal.h"

#include <cmath>

#include "error.h"

namespace dpm {
namespace {

// Eight sums side by side: the compiler may not reorder one, and one is slow.
double product(const double* a, const double* b, std::int64_t size) {
  double sums[8] = {};
  std::int64_t i = 0;
  for (; i + 8 <= size; i += 8) {
    for (int lane = 0; lane < 8; ++lane) sums[lane] += a[i + lane] * b[i + lane];
  }
  for (int lane = 0; i < size; ++i, ++lane) sums[lane] += a[i] * b[i];
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

std::vector<double> transposed(const std::vector<double>& matrix, std::int64_t rows, std::int64_t columns) {
  std::vector<double> result(matrix.size());
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = 0; column < columns; ++column) result[column * rows + row] = matrix[row * columns + column];
  }
  return result;
}

}  // namespace

void make_orthogonal(std::vector<double>& matrix, std::int64_t rows, std::int64_t columns) {
  if (rows > columns) {
    std::vector<double> turned = transposed(matrix, rows, columns);
    make_orthogonal(turned, columns, rows);
    matrix = transposed(turned, columns, rows);
    return;
  }
  for (std::int64_t row = 0; row < rows; ++row) {
    double* const current = matrix.data() + row * columns;
    // Twice is enough (Giraud et al. 2005): what rounding leaves along earlier rows goes in the second turn.
    for (int turn = 0; turn < 2; ++turn) {
      for (std::int64_t before = 0; before < row; ++before) {
        const double* const other = matrix.data() + before * columns;
        const double share = product(current, other, columns);
        for (std::int64_t i = 0; i < columns; ++i) current[i] -= share * other[i];
      }
    }
    const double length = std::sqrt(product(current, current, columns));
    DPM_CHECK(length > 0, "DPM_INTERNAL", "The rows of a random matrix are linearly dependent.");
    for (std::int64_t i = 0; i < columns; ++i) current[i] /= length;
  }
}

}  // namespace dpm
