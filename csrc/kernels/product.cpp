#include "kernels/product.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

namespace kernels {
namespace {

using Vector16 = float __attribute__((vector_size(product_unit * sizeof(float))));

// Eight rows of three vectors are 24 sums in the 32 registers of AVX-512, with room for three vectors of b:
// eleven loads for 24 multiplications.
constexpr std::size_t tile_rows = 8, tile_vectors = 3;
// Rows of b that are processed before the next ones: their columns for one tile stay in the second-level
// cache.
constexpr std::size_t depth_block = 512;

template <std::size_t rows, std::size_t vectors>
[[gnu::always_inline]] inline void multiply_tile(std::size_t depth, const Matrix& a, const float* b,
                                                 std::size_t b_step, float* c, std::size_t c_step,
                                                 bool accumulate) {
    Vector16 sums[rows][vectors]{};
    // Unrolled, so that the sums are registers and not an array.
    if (accumulate) {
#pragma GCC unroll 8
        for (std::size_t r = 0; r < rows; ++r) {
#pragma GCC unroll 3
            for (std::size_t v = 0; v < vectors; ++v) {
                std::memcpy(&sums[r][v], c + r * c_step + v * product_unit, sizeof(Vector16));
            }
        }
    }
    const float* factors = a.data;
    for (std::size_t k = 0; k < depth; ++k, factors += a.column_step, b += b_step) {
        Vector16 row_of_b[vectors];
#pragma GCC unroll 3
        for (std::size_t v = 0; v < vectors; ++v) {
            std::memcpy(&row_of_b[v], b + v * product_unit, sizeof(Vector16));
        }
#pragma GCC unroll 8
        for (std::size_t r = 0; r < rows; ++r) {
            const float factor = factors[r * a.row_step];
#pragma GCC unroll 3
            for (std::size_t v = 0; v < vectors; ++v) sums[r][v] += factor * row_of_b[v];
        }
    }
#pragma GCC unroll 8
    for (std::size_t r = 0; r < rows; ++r) {
#pragma GCC unroll 3
        for (std::size_t v = 0; v < vectors; ++v) {
            std::memcpy(c + r * c_step + v * product_unit, &sums[r][v], sizeof(Vector16));
        }
    }
}

// All rows of a few columns.
template <std::size_t vectors>
[[gnu::always_inline]] inline void multiply_columns(std::size_t rows, std::size_t depth, const Matrix& a,
                                                    const float* b, std::size_t b_step, float* c,
                                                    std::size_t c_step, bool accumulate) {
    std::size_t row = 0;
    for (; row + tile_rows <= rows; row += tile_rows) {
        multiply_tile<tile_rows, vectors>(depth, {a.data + row * a.row_step, a.row_step, a.column_step}, b,
                                          b_step, c + row * c_step, c_step, accumulate);
    }
    for (; row < rows; ++row) {
        multiply_tile<1, vectors>(depth, {a.data + row * a.row_step, a.row_step, a.column_step}, b, b_step,
                                  c + row * c_step, c_step, accumulate);
    }
}

[[gnu::always_inline]] inline void multiply_all(std::size_t rows, std::size_t depth, std::size_t width,
                                                const Matrix& a, const float* b, std::size_t b_step, float* c,
                                                std::size_t c_step, bool accumulate) {
    for (std::size_t k = 0; k < depth; k += depth_block, accumulate = true) {
        const std::size_t block = std::min(depth_block, depth - k);
        const Matrix columns_of_a{a.data + k * a.column_step, a.row_step, a.column_step};
        const float* const rows_of_b = b + k * b_step;
        std::size_t column = 0;
        for (; column + tile_vectors * product_unit <= width; column += tile_vectors * product_unit) {
            multiply_columns<tile_vectors>(rows, block, columns_of_a, rows_of_b + column, b_step, c + column,
                                           c_step, accumulate);
        }
        for (; column < width; column += product_unit) {
            multiply_columns<1>(rows, block, columns_of_a, rows_of_b + column, b_step, c + column, c_step,
                                accumulate);
        }
    }
}

}  // namespace

void multiply(cpu::Isa isa, std::size_t rows, std::size_t depth, std::size_t width, const Matrix& a,
              const Matrix& b, float* c, std::size_t c_step, bool accumulate) {
    std::vector<float> turned;  // b with contiguous rows
    const float* rows_of_b = b.data;
    std::size_t b_step = b.row_step;
    if (b.column_step != 1) {
        turned.resize(depth * width);
        for (std::size_t first = 0; first < width; first += product_unit) {
            for (std::size_t k = 0; k < depth; ++k) {
                const float* const from = b.data + k * b.row_step + first * b.column_step;
                float* const to = turned.data() + k * width + first;
                for (std::size_t i = 0; i < product_unit; ++i) to[i] = from[i * b.column_step];
            }
        }
        rows_of_b = turned.data();
        b_step = width;
    }
    cpu::run(isa, [=, &a]() __attribute__((always_inline)) {
        multiply_all(rows, depth, width, a, rows_of_b, b_step, c, c_step, accumulate);
    });
}

}  // namespace kernels
