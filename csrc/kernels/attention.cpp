#include "kernels/attention.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/arithmetic.hpp"

namespace kernels {
namespace {

// Matrices are padded with zeros to whole vectors of eight, and worked on four rows at a time.
constexpr std::size_t eight = 8, tile_rows = 4;
using Vector = float __attribute__((vector_size(eight * sizeof(float))));

constexpr std::size_t padded(std::size_t count) {
    return (count + eight - 1) / eight * eight;
}

// Element (row, column) is data[row * row_step + column * column_step].
struct Matrix {
    const float* data;
    std::size_t row_step, column_step;
};

[[gnu::always_inline]] inline void load(const float* from, Vector& vector) {
    std::memcpy(&vector, from, sizeof vector);
}

// One row of a tile: two vectors side by side, or the left one alone.
struct Sums {
    Vector left{}, right{};

    template <bool wide>
    [[gnu::always_inline]] void add(float factor, const Vector& b_left, const Vector& b_right) {
        left += factor * b_left;
        if constexpr (wide) right += factor * b_right;
    }

    template <bool wide, bool accumulate>
    [[gnu::always_inline]] void store(float* to) {
        if constexpr (accumulate) add_from(to, left);
        std::memcpy(to, &left, sizeof left);
        if constexpr (wide && accumulate) add_from(to + eight, right);
        if constexpr (wide) std::memcpy(to + eight, &right, sizeof right);
    }

    [[gnu::always_inline]] static void add_from(const float* from, Vector& sum) {
        Vector before;
        load(from, before);
        sum += before;
    }
};

// Four rows of a * b, sixteen columns wide or eight. The sums are variables of their own, not an array, so
// that they stay in registers.
template <bool wide, bool accumulate>
[[gnu::always_inline]] inline void multiply_tile(std::size_t depth, const Matrix& a, const float* b,
                                                 std::size_t b_step, float* c, std::size_t c_step) {
    Sums first, second, third, fourth;
    const float* factor = a.data;
    for (std::size_t k = 0; k < depth; ++k, factor += a.column_step, b += b_step) {
        Vector left, right{};
        load(b, left);
        if constexpr (wide) load(b + eight, right);
        first.add<wide>(factor[0], left, right);
        second.add<wide>(factor[a.row_step], left, right);
        third.add<wide>(factor[2 * a.row_step], left, right);
        fourth.add<wide>(factor[3 * a.row_step], left, right);
    }
    first.store<wide, accumulate>(c);
    second.store<wide, accumulate>(c + c_step);
    third.store<wide, accumulate>(c + 2 * c_step);
    fourth.store<wide, accumulate>(c + 3 * c_step);
}

// Four rows of c = a * b, or c += a * b; a is 4 x depth, b depth x width, width a multiple of eight.
template <bool accumulate>
[[gnu::always_inline]] inline void multiply(std::size_t depth, std::size_t width, const Matrix& a,
                                            const float* b, std::size_t b_step, float* c,
                                            std::size_t c_step) {
    std::size_t column = 0;
    for (; column + 2 * eight <= width; column += 2 * eight) {
        multiply_tile<true, accumulate>(depth, a, b + column, b_step, c + column, c_step);
    }
    if (column < width) multiply_tile<false, accumulate>(depth, a, b + column, b_step, c + column, c_step);
}

// One head's rows, tokens x width, out of and into tensors in which the heads lie side by side.
struct Head {
    std::size_t tokens, width, step;

    [[gnu::always_inline]] void read(const float* from, float scale, float* rows) const {
        for (std::size_t t = 0; t < tokens; ++t) {
            for (std::size_t i = 0; i < width; ++i) rows[t * padded(width) + i] = scale * from[t * step + i];
        }
    }

    [[gnu::always_inline]] void read_transposed(const float* from, float* columns) const {
        for (std::size_t t = 0; t < tokens; ++t) {
            for (std::size_t i = 0; i < width; ++i) columns[i * padded(tokens) + t] = from[t * step + i];
        }
    }

    [[gnu::always_inline]] void write(std::size_t first, std::size_t last, float scale, const float* rows,
                                      float* to) const {
        for (std::size_t t = first; t < last; ++t, rows += padded(width)) {
            for (std::size_t i = 0; i < width; ++i) to[t * step + i] = scale * rows[i];
        }
    }
};

// Buffers of one head at a time. Their padding is zero and stays so.
struct Forward {
    explicit Forward(const AttentionShape& shape)
        : row(padded(shape.width)),
          line(padded(shape.tokens)),
          q(line * row),
          k_columns(line * row),
          v(line * row),
          scores(tile_rows * line),
          mixed(tile_rows * row) {}

    std::size_t row, line;
    std::vector<float> q, k_columns, v, scores, mixed;
};

// Turns the scores of query t into exp(score - largest) for the keys it sees and zeros up to `seen`; returns
// their sum and the largest score.
struct Softmax {
    float total, largest;
};

[[gnu::always_inline]] inline Softmax exponentials(std::size_t t, std::size_t seen, float* scores) {
    const float largest = maximum(t + 1, scores);
    for (std::size_t j = 0; j < seen; ++j) scores[j] = exponential(scores[j] - largest);
    for (std::size_t j = t + 1; j < seen; ++j) scores[j] = 0.0F;
    return {sum(seen, [=](std::size_t j) { return scores[j]; }), largest};
}

[[gnu::always_inline]] inline void forward(const AttentionShape& shape, Forward& space, const float* q,
                                           const float* k, const float* v, float* y, float* log_sums) {
    const std::size_t tokens = shape.tokens, width = shape.width, row = space.row, line = space.line;
    const Head query{tokens, width, shape.heads * width}, key{tokens, width, shape.kv_heads * width};
    for (std::size_t index = 0; index < shape.batch * shape.heads; ++index, log_sums += tokens) {
        const std::size_t b = index / shape.heads, h = index % shape.heads;
        const std::size_t place = b * tokens * query.step + h * width;
        const std::size_t group = shape.heads / shape.kv_heads;
        if (h % group == 0) {
            const std::size_t kv_place = b * tokens * key.step + h / group * width;
            key.read_transposed(k + kv_place, space.k_columns.data());
            key.read(v + kv_place, 1.0F, space.v.data());
        }
        query.read(q + place, shape.scale, space.q.data());
        for (std::size_t first = 0; first < tokens; first += tile_rows) {
            const std::size_t last = std::min(first + tile_rows, tokens), seen = padded(last);
            float* const scores = space.scores.data();
            multiply<false>(width, seen, {space.q.data() + first * row, row, 1}, space.k_columns.data(), line,
                            scores, line);
            float inverse[tile_rows];
            for (std::size_t t = first; t < last; ++t) {
                const auto [total, largest] = exponentials(t, seen, scores + (t - first) * line);
                inverse[t - first] = 1.0F / total;
                log_sums[t] = largest + std::log(total);
            }
            multiply<false>(last, row, {scores, line, 1}, space.v.data(), row, space.mixed.data(), row);
            for (std::size_t t = first; t < last; ++t) {
                query.write(t, t + 1, inverse[t - first], space.mixed.data() + (t - first) * row, y + place);
            }
        }
    }
}

struct Backward {
    explicit Backward(const AttentionShape& shape)
        : row(padded(shape.width)),
          line(padded(shape.tokens)),
          q(line * row),
          k(line * row),
          k_columns(line * row),
          v_columns(line * row),
          dy(line * row),
          dq(tile_rows * row),
          dk(line * row),
          dv(line * row),
          weights(line * line),
          dscores(line * line) {}

    std::size_t row, line;
    std::vector<float> q, k, k_columns, v_columns, dy, dq, dk, dv, weights, dscores;
};

// Weights and the gradients of the scores for queries first ... last - 1, row by row.
[[gnu::always_inline]] inline void backward_rows(std::size_t width, std::size_t first, std::size_t last,
                                                 Backward& space, const float* y, std::size_t y_step,
                                                 const float* log_sums) {
    const std::size_t row = space.row, line = space.line, seen = padded(last);
    float *const weights = space.weights.data() + first * line, *const dscores =
                                                                    space.dscores.data() + first * line;
    const float* const dy = space.dy.data() + first * row;
    multiply<false>(width, seen, {space.q.data() + first * row, row, 1}, space.k_columns.data(), line,
                    weights, line);
    multiply<false>(width, seen, {dy, row, 1}, space.v_columns.data(), line, dscores, line);
    for (std::size_t t = first; t < last; ++t) {
        float *const w = weights + (t - first) * line, *const ds = dscores + (t - first) * line;
        const float *const dy_of_t = dy + (t - first) * row, *const y_of_t = y + t * y_step;
        const float mean = sum(width, [=](std::size_t i) { return dy_of_t[i] * y_of_t[i]; });
        const float log_sum = log_sums[t];
        for (std::size_t j = 0; j < seen; ++j) w[j] = exponential(w[j] - log_sum);
        for (std::size_t j = t + 1; j < seen; ++j) w[j] = 0.0F;
        for (std::size_t j = 0; j < seen; ++j) ds[j] = w[j] * (ds[j] - mean);
    }
}

[[gnu::always_inline]] inline void backward(const AttentionShape& shape, Backward& space, const float* dy,
                                            const float* q, const float* k, const float* v, const float* y,
                                            const float* log_sums, float* dq, float* dk, float* dv) {
    const std::size_t tokens = shape.tokens, width = shape.width, row = space.row, line = space.line;
    const std::size_t group = shape.heads / shape.kv_heads;
    const Head query{tokens, width, shape.heads * width}, key{tokens, width, shape.kv_heads * width};
    for (std::size_t index = 0; index < shape.batch * shape.heads; ++index, log_sums += tokens) {
        const std::size_t b = index / shape.heads, h = index % shape.heads;
        const std::size_t place = b * tokens * query.step + h * width;
        const std::size_t kv_place = b * tokens * key.step + h / group * width;
        if (h % group == 0) {
            key.read(k + kv_place, 1.0F, space.k.data());
            key.read_transposed(k + kv_place, space.k_columns.data());
            key.read_transposed(v + kv_place, space.v_columns.data());
            std::fill(space.dk.begin(), space.dk.end(), 0.0F);
            std::fill(space.dv.begin(), space.dv.end(), 0.0F);
        }
        query.read(q + place, shape.scale, space.q.data());
        query.read(dy + place, 1.0F, space.dy.data());
        for (std::size_t first = 0; first < tokens; first += tile_rows) {
            const std::size_t last = std::min(first + tile_rows, tokens);
            backward_rows(width, first, last, space, y + place, query.step, log_sums);
            multiply<false>(last, row, {space.dscores.data() + first * line, line, 1}, space.k.data(), row,
                            space.dq.data(), row);
            query.write(first, last, shape.scale, space.dq.data(), dq + place);
        }
        // Key j gets something from the queries that see it, j and later.
        for (std::size_t j = 0; j < tokens; j += tile_rows) {
            const std::size_t corner = j * line + j, depth = tokens - j;
            multiply<true>(depth, row, {space.dscores.data() + corner, 1, line}, space.q.data() + j * row,
                           row, space.dk.data() + j * row, row);
            multiply<true>(depth, row, {space.weights.data() + corner, 1, line}, space.dy.data() + j * row,
                           row, space.dv.data() + j * row, row);
        }
        if (h % group == group - 1) {
            key.write(0, tokens, 1.0F, space.dk.data(), dk + kv_place);
            key.write(0, tokens, 1.0F, space.dv.data(), dv + kv_place);
        }
    }
}

}  // namespace

void attention_forward(Isa isa, const AttentionShape& shape, const float* q, const float* k, const float* v,
                       float* y, float* log_sums) {
    Forward space(shape);
    run(isa, [=, &shape, &space]()
                 __attribute__((always_inline)) { forward(shape, space, q, k, v, y, log_sums); });
}

void attention_backward(Isa isa, const AttentionShape& shape, const float* dy, const float* q, const float* k,
                        const float* v, const float* y, const float* log_sums, float* dq, float* dk,
                        float* dv) {
    Backward space(shape);
    run(isa, [=, &shape, &space]() __attribute__((always_inline)) {
        backward(shape, space, dy, q, k, v, y, log_sums, dq, dk, dv);
    });
}

}  // namespace kernels
