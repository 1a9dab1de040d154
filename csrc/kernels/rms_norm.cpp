#include "kernels/rms_norm.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/arithmetic.hpp"

namespace kernels {
namespace {

// Weight gradients are summed over this many rows before they are added to the total: shorter sums round
// less.
constexpr std::size_t rows_per_block = 64;

[[gnu::always_inline]] inline void forward(std::size_t rows, std::size_t width, float eps,
                                           const float* __restrict x, const float* __restrict weight,
                                           float* __restrict y, float* __restrict inverse_rms) {
    for (std::size_t row = 0; row < rows; ++row, x += width, y += width) {
        const float squares = sum(width, [x](std::size_t i) { return x[i] * x[i]; });
        const float scale = 1.0F / std::sqrt(squares / static_cast<float>(width) + eps);
        inverse_rms[row] = scale;
        for (std::size_t i = 0; i < width; ++i) y[i] = x[i] * scale * weight[i];
    }
}

[[gnu::always_inline]] inline void backward(std::size_t rows, std::size_t width, const float* __restrict dy,
                                            const float* __restrict x, const float* __restrict weight,
                                            const float* __restrict inverse_rms, float* __restrict dx,
                                            float* __restrict dweight, float* __restrict block) {
    std::fill_n(dweight, width, 0.0F);
    for (std::size_t first = 0; first < rows; first += rows_per_block) {
        std::fill_n(block, width, 0.0F);
        const std::size_t last = std::min(first + rows_per_block, rows);
        for (std::size_t row = first; row < last; ++row, dy += width, x += width, dx += width) {
            const float dot = sum(width, [=](std::size_t i) { return dy[i] * weight[i] * x[i]; });
            const float scale = inverse_rms[row];
            const float pull = dot * scale * scale * scale / static_cast<float>(width);
            for (std::size_t i = 0; i < width; ++i) {
                dx[i] = dy[i] * weight[i] * scale - x[i] * pull;
                block[i] += dy[i] * x[i] * scale;
            }
        }
        for (std::size_t i = 0; i < width; ++i) dweight[i] += block[i];
    }
}

}  // namespace

void rms_norm_forward(cpu::Isa isa, std::size_t rows, std::size_t width, float eps, const float* x,
                      const float* weight, float* y, float* inverse_rms) {
    cpu::run(isa,
             [=]() __attribute__((always_inline)) { forward(rows, width, eps, x, weight, y, inverse_rms); });
}

void rms_norm_backward(cpu::Isa isa, std::size_t rows, std::size_t width, const float* dy, const float* x,
                       const float* weight, const float* inverse_rms, float* dx, float* dweight) {
    std::vector<float> block(width);
    cpu::run(isa, [=, block = block.data()]() __attribute__((always_inline)) {
        backward(rows, width, dy, x, weight, inverse_rms, dx, dweight, block);
    });
}

}  // namespace kernels
