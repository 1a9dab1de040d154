#include "kernels/attention.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <vector>

#include "kernels/arithmetic.hpp"
#include "kernels/product.hpp"
#include "kernels/turn.hpp"

namespace kernels {
namespace {

// Sixteen queries are processed side by side, one in each lane of two vectors of eight, so that the maximum
// and the sum over a query's keys, which the softmax needs, take no operation across the lanes of a vector.
// Matrices are therefore stored by columns, [feature][query] and [key][query]. They are padded with zeros to
// whole vectors and, since products are computed four rows at a time, to multiples of four rows.
constexpr std::size_t tile_rows = 4, block = 2 * eight;
using Lanes = std::array<float, block>;

constexpr std::size_t padded(std::size_t count, std::size_t unit) {
    return (count + unit - 1) / unit * unit;
}

// One row of a tile: one to three vectors side by side, as separate variables instead of an array so that
// they stay in registers.
template <int vectors>
struct Sums {
    Vector left{}, middle{}, right{};

    [[gnu::always_inline]] void add(float factor, const Sums& b) {
        left += factor * b.left;
        if constexpr (vectors > 1) middle += factor * b.middle;
        if constexpr (vectors > 2) right += factor * b.right;
    }

    [[gnu::always_inline]] void read(const float* from) {
        load(from, left);
        if constexpr (vectors > 1) load(from + eight, middle);
        if constexpr (vectors > 2) load(from + 2 * eight, right);
    }

    [[gnu::always_inline]] void write(float* to) const {
        std::memcpy(to, &left, sizeof left);
        if constexpr (vectors > 1) std::memcpy(to + eight, &middle, sizeof middle);
        if constexpr (vectors > 2) std::memcpy(to + 2 * eight, &right, sizeof right);
    }
};

// Four rows of a * b.
template <int vectors, bool accumulate>
[[gnu::always_inline]] inline void multiply_tile(std::size_t depth, const Matrix& a, const float* b,
                                                 std::size_t b_step, float* c, std::size_t c_step) {
    Sums<vectors> first, second, third, fourth;
    if constexpr (accumulate) {
        first.read(c);
        second.read(c + c_step);
        third.read(c + 2 * c_step);
        fourth.read(c + 3 * c_step);
    }
    const float* factor = a.data;
    for (std::size_t k = 0; k < depth; ++k, factor += a.column_step, b += b_step) {
        Sums<vectors> row_of_b;
        row_of_b.read(b);
        first.add(factor[0], row_of_b);
        second.add(factor[a.row_step], row_of_b);
        third.add(factor[2 * a.row_step], row_of_b);
        fourth.add(factor[3 * a.row_step], row_of_b);
    }
    first.write(c);
    second.write(c + c_step);
    third.write(c + 2 * c_step);
    fourth.write(c + 3 * c_step);
}

// c = a * b, or c += a * b; a is rows x depth and b depth x width, where rows is a multiple of four and width
// one of eight.
template <bool accumulate>
[[gnu::always_inline]] inline void multiply(std::size_t rows, std::size_t depth, std::size_t width,
                                            const Matrix& a, const float* b, std::size_t b_step, float* c,
                                            std::size_t c_step) {
    for (std::size_t row = 0; row < rows; row += tile_rows, c += tile_rows * c_step) {
        const Matrix four{a.data + row * a.row_step, a.row_step, a.column_step};
        std::size_t column = 0;
        for (; column + 4 * eight <= width || column + 2 * eight == width; column += 2 * eight) {
            multiply_tile<2, accumulate>(depth, four, b + column, b_step, c + column, c_step);
        }
        if (column + 3 * eight == width) {
            multiply_tile<3, accumulate>(depth, four, b + column, b_step, c + column, c_step);
        } else if (column < width) {
            multiply_tile<1, accumulate>(depth, four, b + column, b_step, c + column, c_step);
        }
    }
}

// Where the heads of one sequence are in the tensors, and how their rows are copied to and from buffers.
struct Layout {
    Layout(const AttentionShape& shape, const Positions& positions, bool transposed)
        : tokens(shape.tokens),
          width(shape.width),
          step((shape.heads + 2 * shape.kv_heads) * width),
          y_step(shape.heads * width),
          row(padded(width, eight)),
          line(padded(tokens, block)) {
        if (positions.cos == nullptr) return;
        turn.emplace(tokens, width / 2, positions.pairing, transposed, positions.cos, positions.sin);
    }

    [[gnu::always_inline]] void copy(const float* __restrict from, float* __restrict to) const {
        for (std::size_t i = 0; i < width; ++i) to[i] = from[i];
    }

    [[gnu::always_inline]] void copy_turned(std::size_t token, const float* from, float* to) const {
        turn ? (*turn)(token, from, to) : copy(from, to);
    }

    // Rows first ... first + 15 as columns, multiplied by `scale`.
    [[gnu::always_inline]] void transpose(std::size_t first, float scale, const float* rows,
                                          float* columns) const {
        const std::size_t count = std::min(block, tokens - first);
        for (std::size_t i = 0; i < width; ++i) {
            for (std::size_t lane = 0; lane < count; ++lane) {
                columns[i * block + lane] = scale * rows[(first + lane) * row + i];
            }
            for (std::size_t lane = count; lane < block; ++lane) columns[i * block + lane] = 0.0F;
        }
    }

    std::size_t tokens, width, step, y_step, row, line;
    std::optional<Turn> turn;
};

// Sets the scores of the keys that the causal mask hides from each query of a block to -infinity. All queries
// see the keys before the block. The padding after the last key is hidden like any later token.
[[gnu::always_inline]] inline void hide(std::size_t first, std::size_t seen, float* scores) {
    for (std::size_t j = first; j < seen; ++j) {
        std::fill_n(scores + j * block, j - first, -std::numeric_limits<float>::infinity());
    }
}

// exp(x) for x <= 0, but zero below -87, where it is smaller than 2e-38; so hidden keys get zero.
[[gnu::always_inline]] inline float weight_of(float x) {
    return x < -87.0F ? 0.0F : exponential(x);
}

// Buffers for one head at a time. Their padding is and remains zero.
struct Forward {
    explicit Forward(const Layout& layout)
        : q(layout.line * layout.row),
          k(layout.line * layout.row),
          v(layout.line * layout.row),
          q_columns(layout.row * block),
          weights(layout.line * block),
          mixed(layout.row * block) {}

    std::vector<float> q, k, v, q_columns, weights, mixed;
};

// The largest score of each query of a block, and the sum of exp(score - largest).
struct Softmax {
    Lanes largest, total;
};

// Replaces the scores of a block of queries with `seen` keys by exp(score - largest).
[[gnu::always_inline]] inline Softmax exponentials(std::size_t first, std::size_t seen, float* scores) {
    hide(first, seen, scores);
    Sums<2> largest;
    largest.read(scores);
    for (std::size_t j = 1; j < seen; ++j) {
        Sums<2> row;
        row.read(scores + j * block);
        largest.left = row.left > largest.left ? row.left : largest.left;
        largest.middle = row.middle > largest.middle ? row.middle : largest.middle;
    }
    Softmax softmax{};
    largest.write(softmax.largest.data());
    for (std::size_t j = 0; j < seen; ++j) {
        for (std::size_t lane = 0; lane < block; ++lane) {
            scores[j * block + lane] = weight_of(scores[j * block + lane] - softmax.largest[lane]);
            softmax.total[lane] += scores[j * block + lane];
        }
    }
    return softmax;
}

[[gnu::always_inline]] inline void forward(const AttentionShape& shape, const Layout& layout, Forward& space,
                                           const float* qkv, float* y, float* log_sums) {
    const std::size_t tokens = layout.tokens, width = layout.width, row = layout.row;
    const std::size_t group = shape.heads / shape.kv_heads;
    for (std::size_t index = 0; index < shape.batch * shape.heads; ++index, log_sums += tokens) {
        const std::size_t b = index / shape.heads, h = index % shape.heads;
        const float* const q = qkv + b * tokens * layout.step + h * width;
        if (h % group == 0) {
            const float* const k = q + (shape.heads - h + h / group) * width;
            const float* const v = k + shape.kv_heads * width;
            for (std::size_t t = 0; t < tokens; ++t) {
                layout.copy_turned(t, k + t * layout.step, space.k.data() + t * row);
                layout.copy(v + t * layout.step, space.v.data() + t * row);
            }
        }
        for (std::size_t t = 0; t < tokens; ++t) {
            layout.copy_turned(t, q + t * layout.step, space.q.data() + t * row);
        }
        for (std::size_t first = 0; first < tokens; first += block) {
            const std::size_t last = std::min(first + block, tokens), seen = padded(last, tile_rows);
            layout.transpose(first, shape.scale, space.q.data(), space.q_columns.data());
            multiply<false>(seen, width, block, {space.k.data(), row, 1}, space.q_columns.data(), block,
                            space.weights.data(), block);
            const auto [largest, total] = exponentials(first, seen, space.weights.data());
            multiply<false>(block, seen, row, {space.weights.data(), 1, block}, space.v.data(), row,
                            space.mixed.data(), row);
            for (std::size_t t = first; t < last; ++t) {
                const std::size_t lane = t - first;
                log_sums[t] = largest[lane] + std::log(total[lane]);
                const float inverse = 1.0F / total[lane];
                float* const y_of_t = y + (b * tokens + t) * layout.y_step + h * width;
                for (std::size_t i = 0; i < width; ++i) {
                    y_of_t[i] = inverse * space.mixed[lane * row + i];
                }
            }
        }
    }
}

struct Backward {
    explicit Backward(const Layout& layout)
        : q(layout.line * layout.row),
          k(layout.line * layout.row),
          v(layout.line * layout.row),
          dy(layout.line * layout.row),
          dk(layout.line * layout.row),
          dv(layout.line * layout.row),
          q_columns(layout.row * block),
          dy_columns(layout.row * block),
          dq(layout.row * block),
          weights(layout.line * block),
          dscores(layout.line * block) {}

    std::vector<float> q, k, v, dy, dk, dv, q_columns, dy_columns, dq, weights, dscores;
};

// Turns scores into weights and, in `dscores`, the gradients of the weights into those of the scores:
// weight * (gradient - weighted mean of the gradients).
[[gnu::always_inline]] inline void through_softmax(std::size_t first, std::size_t seen, const Lanes& log_sums,
                                                   float* weights, float* dscores) {
    hide(first, seen, weights);
    Lanes mean{};
    for (std::size_t j = 0; j < seen; ++j) {
        for (std::size_t lane = 0; lane < block; ++lane) {
            weights[j * block + lane] = weight_of(weights[j * block + lane] - log_sums[lane]);
            mean[lane] += weights[j * block + lane] * dscores[j * block + lane];
        }
    }
    for (std::size_t j = 0; j < seen; ++j) {
        for (std::size_t lane = 0; lane < block; ++lane) {
            dscores[j * block + lane] = weights[j * block + lane] * (dscores[j * block + lane] - mean[lane]);
        }
    }
}

[[gnu::always_inline]] inline void backward(const AttentionShape& shape, const Layout& layout,
                                            const Layout& turned_back, Backward& space, const float* dy,
                                            const float* qkv, const float* log_sums, float* dqkv) {
    const std::size_t tokens = layout.tokens, width = layout.width, row = layout.row;
    const std::size_t group = shape.heads / shape.kv_heads;
    for (std::size_t index = 0; index < shape.batch * shape.heads; ++index, log_sums += tokens) {
        const std::size_t b = index / shape.heads, h = index % shape.heads;
        const std::size_t q_place = b * tokens * layout.step + h * width;
        const std::size_t k_place = q_place + (shape.heads - h + h / group) * width;
        const std::size_t v_place = k_place + shape.kv_heads * width;
        if (h % group == 0) {
            for (std::size_t t = 0; t < tokens; ++t) {
                layout.copy_turned(t, qkv + k_place + t * layout.step, space.k.data() + t * row);
                layout.copy(qkv + v_place + t * layout.step, space.v.data() + t * row);
            }
            std::fill(space.dk.begin(), space.dk.end(), 0.0F);
            std::fill(space.dv.begin(), space.dv.end(), 0.0F);
        }
        for (std::size_t t = 0; t < tokens; ++t) {
            layout.copy_turned(t, qkv + q_place + t * layout.step, space.q.data() + t * row);
            layout.copy(dy + (b * tokens + t) * layout.y_step + h * width, space.dy.data() + t * row);
        }
        for (std::size_t first = 0; first < tokens; first += block) {
            const std::size_t last = std::min(first + block, tokens), seen = padded(last, tile_rows);
            Lanes log_sums_of_block{};
            std::copy(log_sums + first, log_sums + last, log_sums_of_block.begin());
            layout.transpose(first, shape.scale, space.q.data(), space.q_columns.data());
            layout.transpose(first, 1.0F, space.dy.data(), space.dy_columns.data());
            multiply<false>(seen, width, block, {space.k.data(), row, 1}, space.q_columns.data(), block,
                            space.weights.data(), block);
            multiply<false>(seen, width, block, {space.v.data(), row, 1}, space.dy_columns.data(), block,
                            space.dscores.data(), block);
            through_softmax(first, seen, log_sums_of_block, space.weights.data(), space.dscores.data());
            multiply<false>(block, seen, row, {space.dscores.data(), 1, block}, space.k.data(), row,
                            space.dq.data(), row);
            for (std::size_t t = first; t < last; ++t) {
                float* const dq = space.dq.data() + (t - first) * row;
                for (std::size_t i = 0; i < width; ++i) dq[i] *= shape.scale;
                turned_back.copy_turned(t, dq, dqkv + q_place + t * layout.step);
            }
            multiply<true>(seen, last - first, row, {space.dscores.data(), block, 1},
                           space.q.data() + first * row, row, space.dk.data(), row);
            multiply<true>(seen, last - first, row, {space.weights.data(), block, 1},
                           space.dy.data() + first * row, row, space.dv.data(), row);
        }
        if (h % group == group - 1) {
            for (std::size_t t = 0; t < tokens; ++t) {
                float* const dk = space.dk.data() + t * row;
                for (std::size_t i = 0; i < width; ++i) dk[i] *= shape.scale;
                turned_back.copy_turned(t, dk, dqkv + k_place + t * layout.step);
                layout.copy(space.dv.data() + t * row, dqkv + v_place + t * layout.step);
            }
        }
    }
}

}  // namespace

void attention_forward(cpu::Isa isa, const AttentionShape& shape, const Positions& positions,
                       const float* qkv, float* y, float* log_sums) {
    const Layout layout(shape, positions, false);
    Forward space(layout);
    cpu::run(isa, [=, &shape, &layout, &space]()
                      __attribute__((always_inline)) { forward(shape, layout, space, qkv, y, log_sums); });
}

void attention_backward(cpu::Isa isa, const AttentionShape& shape, const Positions& positions,
                        const float* dy, const float* qkv, const float* log_sums, float* dqkv) {
    const Layout layout(shape, positions, false), turned_back(shape, positions, true);
    Backward space(layout);
    cpu::run(isa, [=, &shape, &layout, &turned_back, &space]() __attribute__((always_inline)) {
        backward(shape, layout, turned_back, space, dy, qkv, log_sums, dqkv);
    });
}

}  // namespace kernels
