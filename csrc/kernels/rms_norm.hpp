// RMSNorm forward and backward, each in one pass over memory.
//
// y = x / sqrt(mean(x^2) + eps) * weight over rows of `width` numbers. Written as torch operations, it takes
// five passes forward and more backward, and moving the bytes takes more time than the arithmetic.
#pragma once

#include <cstddef>

#include "cpu/isa.hpp"

namespace kernels {

// Writes y, and 1 / sqrt(mean(x^2) + eps) of each row for the backward pass.
// Sizes: x and y rows * width, weight width, inverse_rms rows. Outputs must not overlap inputs or each other.
void rms_norm_forward(cpu::Isa isa, std::size_t rows, std::size_t width, float eps, const float* x,
                      const float* weight, float* y, float* inverse_rms);

// Writes the gradients of x and weight for the gradient `dy` of y.
// Sizes: dy, x and dx rows * width, weight and dweight width, inverse_rms rows. Outputs must not overlap
// inputs or each other.
void rms_norm_backward(cpu::Isa isa, std::size_t rows, std::size_t width, const float* dy, const float* x,
                       const float* weight, const float* inverse_rms, float* dx, float* dweight);

}  // namespace kernels
