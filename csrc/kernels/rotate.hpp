// Rotary position embedding: turning pairs of features by the angle of their position.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/isa.hpp"

namespace kernels {

// Which two of the 2 * pairs features of a head form a pair.
enum class Pairing : std::uint8_t { interleaved, half };

struct Rotation {
    std::size_t batch, tokens, heads, pairs;
    Pairing pairing;
    bool transposed;
};

// Rotates each pair (a, b) of x to (a cos - b sin, a sin + b cos). With `transposed` it applies the inverse,
// which the backward pass needs: (a cos + b sin, b cos - a sin). x and y hold batch * tokens * heads * 2 *
// pairs floats, cos and sin tokens * pairs. y must not overlap the inputs.
void rotate(cpu::Isa isa, const Rotation& shape, const float* x, const float* cos, const float* sin,
            float* y);

}  // namespace kernels
