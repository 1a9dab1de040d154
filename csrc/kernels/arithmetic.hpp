// Sums, maxima and exponentials that the compiler turns into vector instructions. All are inlined into a
// function that is compiled for one instruction set (cpu/isa.hpp).
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace kernels {

// Sums run in this many lanes, which the compiler may keep in vector registers without being allowed to
// reorder additions: two registers of AVX-512, four of AVX2, eight of SSE or NEON.
constexpr std::size_t lanes = 32;
constexpr std::size_t few_lanes = 8;  // for the rest

// The sum of term(0) ... term(count - 1).
template <class Term>
[[gnu::always_inline]] inline float sum(std::size_t count, const Term& term) {
    std::array<float, lanes> partial{};
    std::size_t i = 0;
    for (; i + lanes <= count; i += lanes) {
        for (std::size_t lane = 0; lane < lanes; ++lane) partial[lane] += term(i + lane);
    }
    for (; i + few_lanes <= count; i += few_lanes) {
        for (std::size_t lane = 0; lane < few_lanes; ++lane) partial[lane] += term(i + lane);
    }
    float rest = 0;
    for (; i < count; ++i) rest += term(i);
    for (std::size_t half = lanes / 2; half > 0; half /= 2) {
        for (std::size_t lane = 0; lane < half; ++lane) partial[lane] += partial[lane + half];
    }
    return partial[0] + rest;
}

// Eight numbers, in one or two registers.
constexpr std::size_t eight = 8;
using Vector = float __attribute__((vector_size(eight * sizeof(float))));

[[gnu::always_inline]] inline void load(const float* from, Vector& vector) {
    std::memcpy(&vector, from, sizeof vector);
}

// exp(x) to about two units in the last place, without a call or a branch, so that a loop over it becomes
// vector instructions: x = n ln 2 + r with |r| <= ln(2) / 2, exp(r) by the polynomial of the Cephes library
// (expf), and 2^n assembled from its bits. Beyond +-87 the result stays at exp(+-87), just inside the
// range of float.
[[gnu::always_inline]] inline float exponential(float x) {
    x = x < -87.0F ? -87.0F : x;
    x = x > 87.0F ? 87.0F : x;
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer; in between, that integer is in the low
    // bits.
    const float shifted = x * 1.44269504F + 12582912.0F;
    const float n = shifted - 12582912.0F;
    const float r = (x - n * 0.693359375F) + n * 2.12194440e-4F;  // ln 2 in two parts
    float p = 1.9875691500e-4F;
    p = p * r + 1.3981999507e-3F;
    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    p = p * r * r + r + 1.0F;
    const std::uint32_t exponent = (std::bit_cast<std::uint32_t>(shifted) << 23) + (std::uint32_t{127} << 23);
    return p * std::bit_cast<float>(exponent);
}

}  // namespace kernels
