// A few rows times a transposed matrix: what a language model does for each token that it writes.
#pragma once

#include <cstddef>

#include "kernels/isa.hpp"

namespace kernels {

// y = x w^T, reading w once, from front to back, as fast as memory gives it. General matrix products, which
// are made for many rows, reach less than half of that here. Sizes: x rows * width, w outputs * width, y rows
// * outputs, which overlaps nothing.
void multiply_few_rows(Isa isa, std::size_t rows, std::size_t width, std::size_t outputs, const float* x,
                       const float* w, float* y);

}  // namespace kernels
