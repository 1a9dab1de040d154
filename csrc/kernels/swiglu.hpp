// The gate of SwiGLU: y = silu(gate) * up, with silu(x) = x / (1 + exp(-x)), forward and backward in one pass
// each.
#pragma once

#include <cstddef>

#include "kernels/isa.hpp"

namespace kernels {

// All arrays hold `count` numbers; the outputs overlap nothing.
void swiglu_forward(Isa isa, std::size_t count, const float* gate, const float* up, float* y);

// Writes the gradients of gate and up for the gradient `dy` of y.
void swiglu_backward(Isa isa, std::size_t count, const float* dy, const float* gate, const float* up,
                     float* dgate, float* dup);

}  // namespace kernels
