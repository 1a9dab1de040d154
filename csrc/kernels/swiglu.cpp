#include "kernels/swiglu.hpp"

#include <bit>
#include <cstdint>

namespace kernels {
namespace {

// exp(x) to about two units in the last place, without a call or a branch, so that a loop of it becomes
// vector instructions: x = n ln 2 + r with |r| <= ln(2) / 2, exp(r) by the polynomial of the Cephes library
// (expf), and 2^n put together from its bits. Beyond +-87 the result stays at exp(+-87), just inside the
// range of float.
[[gnu::always_inline]] inline float exponential(float x) {
    x = x < -87.0F ? -87.0F : x;
    x = x > 87.0F ? 87.0F : x;
    // Adding and taking away 1.5 * 2^23 rounds to the nearest integer, and leaves it in the low bits on the
    // way.
    const float shifted = x * 1.44269504F + 12582912.0F;
    const float n = shifted - 12582912.0F;
    const float r = (x - n * 0.693359375F) + n * 2.12194440e-4F;  // ln 2 in two parts
    float p = 1.9875691500e-4F;
    p = p * r + 1.3981999507e-3F;
    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    p = p * r * r + r + 1.0F;
    const std::uint32_t exponent = (std::bit_cast<std::uint32_t>(shifted) << 23) + (std::uint32_t{127} << 23);
    return p * std::bit_cast<float>(exponent);
}

// Zero below -87, where it is smaller than 2e-38.
[[gnu::always_inline]] inline float sigmoid(float x) {
    return x < -87.0F ? 0.0F : 1.0F / (1.0F + exponential(-x));
}

[[gnu::always_inline]] inline void forward(std::size_t count, const float* __restrict gate,
                                           const float* __restrict up, float* __restrict y) {
    for (std::size_t i = 0; i < count; ++i) y[i] = gate[i] * sigmoid(gate[i]) * up[i];
}

[[gnu::always_inline]] inline void backward(std::size_t count, const float* __restrict dy,
                                            const float* __restrict gate, const float* __restrict up,
                                            float* __restrict dgate, float* __restrict dup) {
    for (std::size_t i = 0; i < count; ++i) {
        const float open = sigmoid(gate[i]);
        dup[i] = dy[i] * gate[i] * open;
        dgate[i] = dy[i] * up[i] * open * (1.0F + gate[i] * (1.0F - open));
    }
}

}  // namespace

void swiglu_forward(Isa isa, std::size_t count, const float* gate, const float* up, float* y) {
    run(isa, [=]() __attribute__((always_inline)) { forward(count, gate, up, y); });
}

void swiglu_backward(Isa isa, std::size_t count, const float* dy, const float* gate, const float* up,
                     float* dgate, float* dup) {
    run(isa, [=]() __attribute__((always_inline)) { backward(count, dy, gate, up, dgate, dup); });
}

}  // namespace kernels
