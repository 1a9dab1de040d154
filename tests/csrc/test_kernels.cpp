// Every kernel on every instruction set against its formula in double precision. The arrays have no spare
// room at their ends, so that the sanitizers see every access beyond them. tests/model compares with torch.
#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <random>
#include <string>
#include <vector>

#include "cpu/isa.hpp"
#include "kernels/attention.hpp"
#include "kernels/few_rows.hpp"
#include "kernels/product.hpp"
#include "kernels/rms_norm.hpp"
#include "kernels/rotate.hpp"
#include "kernels/swiglu.hpp"

namespace {

using Array = std::vector<float>;

Array normal(std::size_t count) {
    static std::mt19937 generator(7);
    std::normal_distribution<float> distribution;
    Array array(count);
    for (float& x : array) x = distribution(generator);
    return array;
}

// Equals every number within 1e-4 * (1 + |expected|).
doctest::Approx near(double expected) {
    return doctest::Approx(expected).epsilon(1e-4);
}

// Calls `check` with every instruction set that this processor has.
template <class Check>
void on_every_isa(const Check& check) {
    for (const cpu::Isa isa : cpu::available_isas()) {
        const std::string instructions(cpu::name(isa));
        CAPTURE(instructions);
        check(isa);
    }
}

void check_rms_norm(cpu::Isa isa, std::size_t rows, std::size_t width) {
    const Array x = normal(rows * width), weight = normal(width), dy = normal(rows * width);
    Array y(rows * width), inverse_rms(rows), dx(rows * width), dweight(width);
    kernels::rms_norm_forward(isa, rows, width, 1e-5F, x.data(), weight.data(), y.data(), inverse_rms.data());
    kernels::rms_norm_backward(isa, rows, width, dy.data(), x.data(), weight.data(), inverse_rms.data(),
                               dx.data(), dweight.data());
    std::vector<double> expected_dweight(width);
    for (std::size_t row = 0; row < rows; ++row) {
        double squares = 0, dot = 0;
        for (std::size_t i = row * width; i < (row + 1) * width; ++i) {
            squares += double{x[i]} * x[i];
            dot += double{dy[i]} * weight[i % width] * x[i];
        }
        const double scale = 1 / std::sqrt(squares / static_cast<double>(width) + 1e-5);
        for (std::size_t i = row * width; i < (row + 1) * width; ++i) {
            CHECK(y[i] == near(x[i] * scale * weight[i % width]));
            const double pull = x[i] * dot * scale * scale * scale / static_cast<double>(width);
            CHECK(dx[i] == near(double{dy[i]} * weight[i % width] * scale - pull));
            expected_dweight[i % width] += double{dy[i]} * x[i] * scale;
        }
    }
    for (std::size_t i = 0; i < width; ++i) {
        CHECK(dweight[i] == near(expected_dweight[i]));
    }
}

void check_swiglu(cpu::Isa isa, std::size_t rows, std::size_t width) {
    const Array gate_up = normal(rows * 2 * width), dy = normal(rows * width);
    Array y(rows * width), dgate_up(rows * 2 * width);
    kernels::swiglu_forward(isa, rows, width, gate_up.data(), y.data());
    kernels::swiglu_backward(isa, rows, width, dy.data(), gate_up.data(), dgate_up.data());
    for (std::size_t i = 0; i < rows * width; ++i) {
        const std::size_t at = i / width * 2 * width + i % width;
        const double gate = gate_up[at], up = gate_up[at + width], open = 1 / (1 + std::exp(-gate));
        CHECK(y[i] == near(gate * open * up));
        CHECK(dgate_up[at + width] == near(dy[i] * gate * open));
        CHECK(dgate_up[at] == near(dy[i] * up * open * (1 + gate * (1 - open))));
    }
}

// With both operands as they are and transposed; the second product is added to the first.
void check_product(cpu::Isa isa, std::size_t rows, std::size_t depth, std::size_t width) {
    const Array a = normal(rows * depth), b = normal(depth * width);
    for (const bool transposed : {false, true}) {
        const kernels::Matrix left{a.data(), transposed ? 1 : depth, transposed ? rows : 1};
        const kernels::Matrix right{b.data(), transposed ? 1 : width, transposed ? depth : 1};
        Array c(rows * width);
        kernels::multiply(isa, rows, depth, width, left, right, c.data(), width, false);
        kernels::multiply(isa, rows, depth, width, left, right, c.data(), width, true);
        for (std::size_t i = 0; i < c.size(); ++i) {
            double expected = 0;
            for (std::size_t k = 0; k < depth; ++k) {
                expected += 2.0 * left.data[i / width * left.row_step + k * left.column_step] *
                            right.data[k * right.row_step + i % width * right.column_step];
            }
            CHECK(c[i] == near(expected));
        }
    }
}

void check_rotate(cpu::Isa isa, std::size_t pairs, kernels::Pairing pairing) {
    const std::size_t tokens = 3, heads = 2, batch = 2;
    const Array x = normal(batch * tokens * heads * 2 * pairs);
    Array cos(tokens * pairs), sin(tokens * pairs), y(x.size()), back(x.size());
    for (std::size_t i = 0; i < cos.size(); ++i) {
        cos[i] = std::cos(static_cast<float>(i));
        sin[i] = std::sin(static_cast<float>(i));
    }
    kernels::rotate(isa, {batch, tokens, heads, pairs, pairing, false}, x.data(), cos.data(), sin.data(),
                    y.data());
    kernels::rotate(isa, {batch, tokens, heads, pairs, pairing, true}, y.data(), cos.data(), sin.data(),
                    back.data());
    for (std::size_t i = 0; i < x.size(); ++i) CHECK(back[i] == near(x[i]));
    const bool interleaved = pairing == kernels::Pairing::interleaved;
    const std::size_t last = x.size() - 2 * pairs, a = last, b = last + (interleaved ? 1 : pairs);
    const std::size_t angle = (tokens - 1) * pairs;
    CHECK(y[a] == near(double{x[a]} * cos[angle] - double{x[b]} * sin[angle]));
    CHECK(y[b] == near(double{x[a]} * sin[angle] + double{x[b]} * cos[angle]));
}

void check_few_rows(cpu::Isa isa, std::size_t rows, std::size_t width) {
    const std::size_t outputs = 5;
    const Array x = normal(rows * width), w = normal(outputs * width);
    Array y(rows * outputs);
    kernels::multiply_few_rows(isa, rows, width, outputs, x.data(), w.data(), y.data());
    for (std::size_t k = 0; k < y.size(); ++k) {
        double expected = 0;
        for (std::size_t i = 0; i < width; ++i) {
            expected += double{x[k / outputs * width + i]} * w[k % outputs * width + i];
        }
        CHECK(y[k] == near(expected));
    }
}

// The forward pass by its formula; the gradients by identities (tests/model compares each number).
void check_attention(cpu::Isa isa, const kernels::AttentionShape& shape) {
    const std::size_t step = (shape.heads + 2 * shape.kv_heads) * shape.width,
                      group = shape.heads / shape.kv_heads;
    const std::size_t keys = shape.heads * shape.width, values = keys + shape.kv_heads * shape.width;
    const std::size_t rows = shape.batch * shape.tokens, pairs = shape.width / 2;
    const Array qkv = normal(rows * step), dy = normal(rows * keys);
    Array y(rows * keys), log_sums(rows * shape.heads), dqkv(rows * step);
    const kernels::Positions unturned{kernels::Pairing::half, nullptr, nullptr};
    kernels::attention_forward(isa, shape, unturned, qkv.data(), y.data(), log_sums.data());
    kernels::attention_backward(isa, shape, unturned, dy.data(), qkv.data(), log_sums.data(), dqkv.data());
    for (std::size_t h = 0; h < shape.heads; ++h) {  // in the first sequence
        for (std::size_t t = 0; t < shape.tokens; ++t) {
            std::vector<double> mixed(shape.width);
            double total = 0;
            for (std::size_t j = 0; j <= t; ++j) {
                const float* const q = qkv.data() + t * step + h * shape.width;
                const float* const k = qkv.data() + j * step + keys + h / group * shape.width;
                const float* const v = qkv.data() + j * step + values + h / group * shape.width;
                double score = 0;
                for (std::size_t i = 0; i < shape.width; ++i) score += double{q[i]} * k[i];
                const double weight = std::exp(score * shape.scale);
                total += weight;
                for (std::size_t i = 0; i < shape.width; ++i) mixed[i] += weight * v[i];
            }
            CHECK(log_sums[h * shape.tokens + t] == near(std::log(total)));
            for (std::size_t i = 0; i < shape.width; ++i) {
                CHECK(y[t * keys + h * shape.width + i] == near(mixed[i] / total));
            }
        }
    }
    // y is linear in v, so <dy, y> = <dv, v>. Scaling all keys has the same effect as scaling all queries, so
    // <dq, q> = <dk, k>.
    double of_queries = 0, of_keys = 0, of_values = 0, of_results = 0;
    for (std::size_t i = 0; i < qkv.size(); ++i) {
        const std::size_t column = i % step;
        (column < keys ? of_queries : column < values ? of_keys : of_values) += double{dqkv[i]} * qkv[i];
    }
    for (std::size_t i = 0; i < y.size(); ++i) of_results += double{dy[i]} * y[i];
    CHECK(of_values == near(of_results));
    CHECK(of_keys == near(of_queries));
    if (shape.width % 2 != 0) return;
    // Rotating all positions by the same angle changes neither the scores nor the gradient of qkv.
    const Array cos(shape.tokens * pairs, 0.8F), sin(shape.tokens * pairs, 0.6F);
    for (const auto pairing : {kernels::Pairing::half, kernels::Pairing::interleaved}) {
        const kernels::Positions positions{pairing, cos.data(), sin.data()};
        Array turned(y.size()), gradient(dqkv.size());
        kernels::attention_forward(isa, shape, positions, qkv.data(), turned.data(), log_sums.data());
        kernels::attention_backward(isa, shape, positions, dy.data(), qkv.data(), log_sums.data(),
                                    gradient.data());
        for (std::size_t i = 0; i < y.size(); ++i) CHECK(turned[i] == near(y[i]));
        for (std::size_t i = 0; i < dqkv.size(); ++i) {
            CHECK(gradient[i] == near(dqkv[i]));
        }
    }
}

}  // namespace

TEST_CASE("RMSNorm and its gradients") {
    on_every_isa([](cpu::Isa isa) {
        for (const std::size_t width : {1U, 31U, 32U, 97U}) check_rms_norm(isa, 70, width);
    });
}

TEST_CASE("a product of a few rows") {
    on_every_isa([](cpu::Isa isa) {
        for (const std::size_t width : {1U, 33U, 96U}) check_few_rows(isa, 3, width);
    });
}

TEST_CASE("SwiGLU's gate and its gradients") {
    on_every_isa([](cpu::Isa isa) {
        for (const std::size_t width : {1U, 15U, 1000U}) check_swiglu(isa, 3, width);
    });
}

TEST_CASE("a product of matrices, transposed and accumulated") {
    on_every_isa([](cpu::Isa isa) {
        for (const std::size_t rows : {1U, 9U}) {
            for (const std::size_t depth : {3U, 520U}) check_product(isa, rows, depth, 64);
        }
    });
}

TEST_CASE("rotation by the angles of positions, and back") {
    on_every_isa([](cpu::Isa isa) {
        for (const std::size_t pairs : {1U, 12U, 37U}) {
            check_rotate(isa, pairs, kernels::Pairing::interleaved);
            check_rotate(isa, pairs, kernels::Pairing::half);
        }
    });
}

TEST_CASE("causal attention and its gradients") {
    on_every_isa([](cpu::Isa isa) {
        for (const std::size_t tokens : {1U, 4U, 7U, 16U, 33U}) {
            check_attention(isa, {2, tokens, 4, 2, 12, 0.3F});
            check_attention(isa, {1, tokens, 3, 3, 17, 0.2F});
        }
    });
}
