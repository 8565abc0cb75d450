// Orthogonal matrices, for first weights.
#pragma once
#include <cstdint>
#include <vector>

namespace dpm {

// Makes the rows of a rows × columns matrix orthonormal where there are at most as many as columns, and its columns
// otherwise, by Gram and Schmidt's method in their order. That is the Q of a QR decomposition whose R has a positive
// diagonal: of independent normals it is uniform over the orthogonal matrices (Mezzadri 2007, arXiv math-ph/0609050), and
// what torch.nn.init.orthogonal_ makes of them (Saxe et al. 2014, arXiv 1312.6120). One thread, one order of sums: the same
// bits on every machine.
void make_orthogonal(std::vector<double>& matrix, std::int64_t rows, std::int64_t columns);

}  // namespace dpm
