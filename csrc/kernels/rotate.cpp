#include "kernels/rotate.hpp"

namespace kernels {
namespace {

[[gnu::always_inline]] inline void rotate_interleaved(std::size_t pairs, float sign,
                                                      const float* __restrict x, const float* __restrict cos,
                                                      const float* __restrict sin, float* __restrict y) {
    for (std::size_t i = 0; i < pairs; ++i) {
        const float a = x[2 * i], b = x[2 * i + 1], s = sign * sin[i];
        y[2 * i] = a * cos[i] - b * s;
        y[2 * i + 1] = a * s + b * cos[i];
    }
}

[[gnu::always_inline]] inline void rotate_half(std::size_t pairs, float sign, const float* __restrict x,
                                               const float* __restrict cos, const float* __restrict sin,
                                               float* __restrict y) {
    for (std::size_t i = 0; i < pairs; ++i) {
        const float a = x[i], b = x[i + pairs], s = sign * sin[i];
        y[i] = a * cos[i] - b * s;
        y[i + pairs] = a * s + b * cos[i];
    }
}

[[gnu::always_inline]] inline void rotate_all(const Rotation& shape, const float* x, const float* cos,
                                              const float* sin, float* y) {
    const float sign = shape.transposed ? -1.0F : 1.0F;
    const std::size_t pairs = shape.pairs;
    for (std::size_t sequence = 0; sequence < shape.batch; ++sequence) {
        for (std::size_t token = 0; token < shape.tokens; ++token) {
            const float *c = cos + token * pairs, *s = sin + token * pairs;
            for (std::size_t head = 0; head < shape.heads; ++head, x += 2 * pairs, y += 2 * pairs) {
                if (shape.pairing == Pairing::interleaved) {
                    rotate_interleaved(pairs, sign, x, c, s, y);
                } else {
                    rotate_half(pairs, sign, x, c, s, y);
                }
            }
        }
    }
}

}  // namespace

void rotate(Isa isa, const Rotation& shape, const float* x, const float* cos, const float* sin, float* y) {
    // The heads of most models are too narrow to fill vectors of sixteen.
    run(isa == Isa::avx512 ? Isa::avx2 : isa,
        [=, &shape]() __attribute__((always_inline)) { rotate_all(shape, x, cos, sin, y); });
}

}  // namespace kernels
