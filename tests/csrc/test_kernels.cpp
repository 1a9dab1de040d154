// The tensor kernels without Python, on arrays that end where the sanitizers look: every instruction set
// against the formulas in double precision. Built with sanitizers in CI; tests/model compares with torch.
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/attention.hpp"
#include "kernels/few_rows.hpp"
#include "kernels/isa.hpp"
#include "kernels/product.hpp"
#include "kernels/rms_norm.hpp"
#include "kernels/rotate.hpp"
#include "kernels/swiglu.hpp"

namespace {

using Array = std::vector<float>;

std::mt19937 generator(7);

Array normal(std::size_t count) {
    std::normal_distribution<float> distribution;
    Array array(count);
    for (float& x : array) x = distribution(generator);
    return array;
}

void check_close(double measured, double expected, std::string_view what, kernels::Isa isa) {
    if (std::abs(measured - expected) <= 1e-4 * (1 + std::abs(expected))) return;
    std::cerr << "failed: " << what << " on " << kernels::name(isa) << ": " << measured << ", not "
              << expected << '\n';
    std::exit(EXIT_FAILURE);
}

void check_rms_norm(kernels::Isa isa, std::size_t rows, std::size_t width) {
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
            check_close(y[i], x[i] * scale * weight[i % width], "RMSNorm", isa);
            const double pull = x[i] * dot * scale * scale * scale / static_cast<double>(width);
            check_close(dx[i], double{dy[i]} * weight[i % width] * scale - pull, "RMSNorm's input gradient",
                        isa);
            expected_dweight[i % width] += double{dy[i]} * x[i] * scale;
        }
    }
    for (std::size_t i = 0; i < width; ++i) {
        check_close(dweight[i], expected_dweight[i], "RMSNorm's weight gradient", isa);
    }
}

void check_swiglu(kernels::Isa isa, std::size_t rows, std::size_t width) {
    const Array gate_up = normal(rows * 2 * width), dy = normal(rows * width);
    Array y(rows * width), dgate_up(rows * 2 * width);
    kernels::swiglu_forward(isa, rows, width, gate_up.data(), y.data());
    kernels::swiglu_backward(isa, rows, width, dy.data(), gate_up.data(), dgate_up.data());
    for (std::size_t i = 0; i < rows * width; ++i) {
        const std::size_t at = i / width * 2 * width + i % width;
        const double gate = gate_up[at], up = gate_up[at + width], open = 1 / (1 + std::exp(-gate));
        check_close(y[i], gate * open * up, "SwiGLU", isa);
        check_close(dgate_up[at + width], dy[i] * gate * open, "SwiGLU's gradient", isa);
        check_close(dgate_up[at], dy[i] * up * open * (1 + gate * (1 - open)), "SwiGLU's gate gradient", isa);
    }
}

// With a as it is and transposed, b too, and once more on top.
void check_product(kernels::Isa isa, std::size_t rows, std::size_t depth, std::size_t width) {
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
            check_close(c[i], expected, "a product", isa);
        }
    }
}

void check_rotate(kernels::Isa isa, std::size_t pairs, kernels::Pairing pairing) {
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
    for (std::size_t i = 0; i < x.size(); ++i) check_close(back[i], x[i], "rotation there and back", isa);
    const bool interleaved = pairing == kernels::Pairing::interleaved;
    const std::size_t last = x.size() - 2 * pairs, a = last, b = last + (interleaved ? 1 : pairs);
    const std::size_t angle = (tokens - 1) * pairs;
    check_close(y[a], double{x[a]} * cos[angle] - double{x[b]} * sin[angle], "rotation", isa);
    check_close(y[b], double{x[a]} * sin[angle] + double{x[b]} * cos[angle], "rotation", isa);
}

void check_few_rows(kernels::Isa isa, std::size_t rows, std::size_t width) {
    const std::size_t outputs = 5;
    const Array x = normal(rows * width), w = normal(outputs * width);
    Array y(rows * outputs);
    kernels::multiply_few_rows(isa, rows, width, outputs, x.data(), w.data(), y.data());
    for (std::size_t k = 0; k < y.size(); ++k) {
        double expected = 0;
        for (std::size_t i = 0; i < width; ++i) {
            expected += double{x[k / outputs * width + i]} * w[k % outputs * width + i];
        }
        check_close(y[k], expected, "a few rows", isa);
    }
}

// The forward pass by its formula; the gradients by two identities (tests/model compares each number).
void check_attention(kernels::Isa isa, const kernels::AttentionShape& shape) {
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
            check_close(log_sums[h * shape.tokens + t], std::log(total), "logarithm of the sum", isa);
            for (std::size_t i = 0; i < shape.width; ++i) {
                check_close(y[t * keys + h * shape.width + i], mixed[i] / total, "attention", isa);
            }
        }
    }
    // y is linear in v: <dy, y> = <dv, v>. And scaling all keys up is scaling all queries up: <dq, q> = <dk,
    // k>.
    double of_queries = 0, of_keys = 0, of_values = 0, of_results = 0;
    for (std::size_t i = 0; i < qkv.size(); ++i) {
        const std::size_t column = i % step;
        (column < keys ? of_queries : column < values ? of_keys : of_values) += double{dqkv[i]} * qkv[i];
    }
    for (std::size_t i = 0; i < y.size(); ++i) of_results += double{dy[i]} * y[i];
    check_close(of_values, of_results, "the gradient of v", isa);
    check_close(of_keys, of_queries, "the gradients of q and k", isa);
    if (shape.width % 2 != 0) return;
    // Turning all positions by one angle leaves scores as they are, and turns their gradients along.
    const Array cos(shape.tokens * pairs, 0.8F), sin(shape.tokens * pairs, 0.6F);
    for (const auto pairing : {kernels::Pairing::half, kernels::Pairing::interleaved}) {
        const kernels::Positions positions{pairing, cos.data(), sin.data()};
        Array again(y.size()), gradient(dqkv.size());
        kernels::attention_forward(isa, shape, positions, qkv.data(), again.data(), log_sums.data());
        kernels::attention_backward(isa, shape, positions, dy.data(), qkv.data(), log_sums.data(),
                                    gradient.data());
        for (std::size_t i = 0; i < y.size(); ++i) check_close(again[i], y[i], "attention, turned", isa);
        for (std::size_t i = 0; i < dqkv.size(); ++i) {
            check_close(gradient[i], dqkv[i], "its gradient, turned", isa);
        }
    }
}

}  // namespace

int main() {
    for (const kernels::Isa isa : kernels::available_isas()) {
        for (const std::size_t width : {1, 31, 32, 97}) check_rms_norm(isa, 70, width);
        for (const std::size_t width : {1, 33, 96}) check_few_rows(isa, 3, width);
        for (const std::size_t width : {1, 15, 1000}) check_swiglu(isa, 3, width);
        for (const std::size_t rows : {1, 9}) {
            for (const std::size_t depth : {3, 520}) check_product(isa, rows, depth, 64);
        }
        for (const std::size_t pairs : {1, 12, 37}) {
            check_rotate(isa, pairs, kernels::Pairing::interleaved);
            check_rotate(isa, pairs, kernels::Pairing::half);
        }
        for (const std::size_t tokens : {1, 4, 7, 16, 33}) {
            check_attention(isa, {2, tokens, 4, 2, 12, 0.3F});
            check_attention(isa, {1, tokens, 3, 3, 17, 0.2F});
        }
    }
    std::cout << "kernels: all checks passed\n";
}
