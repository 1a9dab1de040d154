#include "kernels/few_rows.hpp"

#include "kernels/arithmetic.hpp"

namespace kernels {

void multiply_few_rows(cpu::Isa isa, std::size_t rows, std::size_t width, std::size_t outputs, const float* x,
                       const float* w, float* y) {
    cpu::run(isa, [=]() __attribute__((always_inline)) {
        const float* row_of_w = w;
        for (std::size_t output = 0; output < outputs; ++output, row_of_w += width) {
            for (std::size_t row = 0; row < rows; ++row) {
                const float* const row_of_x = x + row * width;
                y[row * outputs + output] =
                    sum(width, [=](std::size_t i) { return row_of_x[i] * row_of_w[i]; });
            }
        }
    });
}

}  // namespace kernels
