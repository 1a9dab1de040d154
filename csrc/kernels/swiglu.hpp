// The gate of SwiGLU: y = silu(gate) * up, with silu(x) = x / (1 + exp(-x)), forward and backward in one pass
// each.
#pragma once

#include <cstddef>

#include "cpu/isa.hpp"

namespace kernels {

// Each of the `rows` rows of gate_up holds `width` numbers of the gate, then `width` numbers of up; y has
// rows * width numbers. Outputs must not overlap inputs or each other.
void swiglu_forward(cpu::Isa isa, std::size_t rows, std::size_t width, const float* gate_up, float* y);

// Writes the gradient of gate_up for the gradient `dy` of y.
void swiglu_backward(cpu::Isa isa, std::size_t rows, std::size_t width, const float* dy, const float* gate_up,
                     float* dgate_up);

}  // namespace kernels
