#include "kernels/swiglu.hpp"

#include "kernels/arithmetic.hpp"

namespace kernels {
namespace {

// Zero below -87, where it is smaller than 2e-38.
[[gnu::always_inline]] inline float sigmoid(float x) {
    return x < -87.0F ? 0.0F : 1.0F / (1.0F + exponential(-x));
}

[[gnu::always_inline]] inline void forward(std::size_t width, const float* __restrict gate,
                                           const float* __restrict up, float* __restrict y) {
    for (std::size_t i = 0; i < width; ++i) y[i] = gate[i] * sigmoid(gate[i]) * up[i];
}

[[gnu::always_inline]] inline void backward(std::size_t width, const float* __restrict dy,
                                            const float* __restrict gate, const float* __restrict up,
                                            float* __restrict dgate, float* __restrict dup) {
    for (std::size_t i = 0; i < width; ++i) {
        const float open = sigmoid(gate[i]);
        dup[i] = dy[i] * gate[i] * open;
        dgate[i] = dy[i] * up[i] * open * (1.0F + gate[i] * (1.0F - open));
    }
}

}  // namespace

void swiglu_forward(cpu::Isa isa, std::size_t rows, std::size_t width, const float* gate_up, float* y) {
    cpu::run(isa, [=]() __attribute__((always_inline)) {
        for (std::size_t row = 0; row < rows; ++row) {
            const float* const gate = gate_up + 2 * row * width;
            forward(width, gate, gate + width, y + row * width);
        }
    });
}

void swiglu_backward(cpu::Isa isa, std::size_t rows, std::size_t width, const float* dy, const float* gate_up,
                     float* dgate_up) {
    cpu::run(isa, [=]() __attribute__((always_inline)) {
        for (std::size_t row = 0; row < rows; ++row) {
            const float* const gate = gate_up + 2 * row * width;
            float* const dgate = dgate_up + 2 * row * width;
            backward(width, dy + row * width, gate, gate + width, dgate, dgate + width);
        }
    });
}

}  // namespace kernels
