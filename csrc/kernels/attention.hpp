// Causal attention over short sequences, forward and backward.
//
// The fused attention of torch is made for long sequences; on a few dozen tokens most of its time goes into
// preparing small matrix products. Here these are written out for the processor's registers, and what the
// causal mask hides is not computed.
#pragma once

#include <cstddef>

#include "kernels/isa.hpp"

namespace kernels {

// Query head h reads key and value head h / (heads / kv_heads). `scale` multiplies the scores.
struct AttentionShape {
    std::size_t batch, tokens, heads, kv_heads, width;
    float scale;
};

// Writes y = softmax(scale q k^T + causal mask) v, and the logarithm of the sum of exponentials of each
// query's scores for the backward pass. Sizes: q and y batch * tokens * heads * width, k and v batch * tokens
// * kv_heads * width, log_sums batch * heads * tokens. The outputs overlap nothing.
void attention_forward(Isa isa, const AttentionShape& shape, const float* q, const float* k, const float* v,
                       float* y, float* log_sums);

// Writes the gradients of q, k and v for the gradient `dy` of y. Memory grows with tokens^2.
void attention_backward(Isa isa, const AttentionShape& shape, const float* dy, const float* q, const float* k,
                        const float* v, const float* y, const float* log_sums, float* dq, float* dk,
                        float* dv);

}  // namespace kernels
