// A few rows times a transposed matrix: most of the work for each token that a language model generates.
#pragma once

#include <cstddef>

#include "cpu/isa.hpp"

namespace kernels {

// y = x w^T, reading w once, from front to back, at the speed of memory. General matrix products, which are
// made for many rows, reach less than half of that here. Sizes: x rows * width, w outputs * width, y rows *
// outputs. y must not overlap the inputs.
void multiply_few_rows(cpu::Isa isa, std::size_t rows, std::size_t width, std::size_t outputs, const float* x,
                       const float* w, float* y);

}  // namespace kernels
