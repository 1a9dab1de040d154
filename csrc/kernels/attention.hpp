// Causal attention over short sequences, forward and backward, with the rotation of queries and keys.
//
// torch's fused attention is made for long sequences; on a few dozen tokens it spends most of its time
// preparing small matrix products. Here these are written out for the processor's registers, and most of what
// the causal mask hides is not computed.
#pragma once

#include <cstddef>

#include "cpu/isa.hpp"
#include "kernels/rotate.hpp"

namespace kernels {

// The features of a token are contiguous: those of its query heads, its key heads and its value heads, with
// `width` numbers per head. Query head h reads key and value head h / (heads / kv_heads). `scale` multiplies
// the scores.
struct AttentionShape {
    std::size_t batch, tokens, heads, kv_heads, width;
    float scale;
};

// How queries and keys are rotated first, as in `rotate`: tokens * width / 2 cosines and sines. If the tables
// are null, they are not rotated.
struct Positions {
    Pairing pairing;
    const float *cos, *sin;
};

// Writes y = softmax(scale q k^T + causal mask) v, and the logarithm of the sum of exponentials of each
// query's scores for the backward pass. Sizes: qkv batch * tokens * (heads + 2 kv_heads) * width, y batch *
// tokens * heads * width, log_sums batch * heads * tokens. Outputs must not overlap inputs or each other.
void attention_forward(cpu::Isa isa, const AttentionShape& shape, const Positions& positions,
                       const float* qkv, float* y, float* log_sums);

// Writes the gradient of qkv for the gradient `dy` of y.
void attention_backward(cpu::Isa isa, const AttentionShape& shape, const Positions& positions,
                        const float* dy, const float* qkv, const float* log_sums, float* dqkv);

}  // namespace kernels
