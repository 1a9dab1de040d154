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

void check_swiglu(kernels::Isa isa, std::size_t count) {
    const Array gate = normal(count), up = normal(count), dy = normal(count);
    Array y(count), dgate(count), dup(count);
    kernels::swiglu_forward(isa, count, gate.data(), up.data(), y.data());
    kernels::swiglu_backward(isa, count, dy.data(), gate.data(), up.data(), dgate.data(), dup.data());
    for (std::size_t i = 0; i < count; ++i) {
        const double open = 1 / (1 + std::exp(-double{gate[i]}));
        check_close(y[i], gate[i] * open * up[i], "SwiGLU", isa);
        check_close(dup[i], dy[i] * gate[i] * open, "SwiGLU's gradient", isa);
        check_close(dgate[i], dy[i] * up[i] * open * (1 + gate[i] * (1 - open)), "SwiGLU's gate gradient",
                    isa);
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
    const std::size_t queries = shape.batch * shape.tokens * shape.heads * shape.width;
    const std::size_t keys = shape.batch * shape.tokens * shape.kv_heads * shape.width;
    const Array q = normal(queries), k = normal(keys), v = normal(keys), dy = normal(queries);
    Array y(queries), log_sums(shape.batch * shape.heads * shape.tokens), dq(queries), dk(keys), dv(keys);
    kernels::attention_forward(isa, shape, q.data(), k.data(), v.data(), y.data(), log_sums.data());
    kernels::attention_backward(isa, shape, dy.data(), q.data(), k.data(), v.data(), y.data(),
                                log_sums.data(), dq.data(), dk.data(), dv.data());
    const std::size_t group = shape.heads / shape.kv_heads;
    const auto at = [&](std::size_t t, std::size_t heads, std::size_t h) {
        return (t * heads + h) * shape.width;  // in the first sequence
    };
    for (std::size_t h = 0; h < shape.heads; ++h) {
        for (std::size_t t = 0; t < shape.tokens; ++t) {
            std::vector<double> mixed(shape.width);
            double total = 0;
            for (std::size_t j = 0; j <= t; ++j) {
                double score = 0;
                for (std::size_t i = 0; i < shape.width; ++i) {
                    score += double{q[at(t, shape.heads, h) + i]} * k[at(j, shape.kv_heads, h / group) + i];
                }
                const double weight = std::exp(score * shape.scale);
                total += weight;
                for (std::size_t i = 0; i < shape.width; ++i) {
                    mixed[i] += weight * v[at(j, shape.kv_heads, h / group) + i];
                }
            }
            check_close(log_sums[h * shape.tokens + t], std::log(total), "logarithm of the sum", isa);
            for (std::size_t i = 0; i < shape.width; ++i) {
                check_close(y[at(t, shape.heads, h) + i], mixed[i] / total, "attention", isa);
            }
        }
    }
    // y is linear in v: <dy, y> = <dv, v>. And scaling all keys up is scaling all queries up: <dq, q> = <dk,
    // k>.
    const auto dot = [](const Array& a, const Array& b) {
        double sum = 0;
        for (std::size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * b[i];
        return sum;
    };
    check_close(dot(dv, v), dot(dy, y), "the gradient of v", isa);
    check_close(dot(dk, k), dot(dq, q), "the gradients of q and k", isa);
}

}  // namespace

int main() {
    for (const kernels::Isa isa : kernels::available_isas()) {
        for (const std::size_t width : {1, 31, 32, 97}) check_rms_norm(isa, 70, width);
        for (const std::size_t width : {1, 33, 96}) check_few_rows(isa, 3, width);
        for (const std::size_t count : {0, 1, 15, 1000}) check_swiglu(isa, count);
        for (const std::size_t pairs : {1, 12, 37}) {
            check_rotate(isa, pairs, kernels::Pairing::interleaved);
            check_rotate(isa, pairs, kernels::Pairing::half);
        }
        for (const std::size_t tokens : {1, 4, 7, 33}) {
            check_attention(isa, {2, tokens, 4, 2, 12, 0.3F});
            check_attention(isa, {1, tokens, 3, 3, 17, 0.2F});
        }
    }
    std::cout << "kernels: all checks passed\n";
}
