// Products of matrices that fit into the processor's caches.
//
// A general matrix product first copies both operands into an order that suits large matrices, and clears the
// result; for a few hundred rows that is a sixth of its time. Here the registers hold a tile of the result,
// and the operands are read in place.
#pragma once

#include <cstddef>

#include "cpu/isa.hpp"

namespace kernels {

// Element (row, column) is data[row * row_step + column * column_step].
struct Matrix {
    const float* data;
    std::size_t row_step, column_step;
};

constexpr std::size_t product_unit = 16;

// c = a * b, or c += a * b, for a of rows x depth and b of depth x width; width is a multiple of
// product_unit. Row r of c begins at c + r * c_step. c must not overlap the inputs.
void multiply(cpu::Isa isa, std::size_t rows, std::size_t depth, std::size_t width, const Matrix& a,
              const Matrix& b, float* c, std::size_t c_step, bool accumulate);

}  // namespace kernels
