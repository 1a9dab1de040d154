// Rotating the features of one head by the angles of one position, for rotate.cpp and attention.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "kernels/arithmetic.hpp"
#include "kernels/rotate.hpp"

namespace kernels {

// Tables for whole rows: y[i] = x[i] * cosines[i] + x[partner of i] * sines[i]. With one number per
// feature, sign included, a row can be processed in whole vectors with either pairing.
class Turn {
  public:
    Turn(std::size_t tokens, std::size_t pairs, Pairing pairing, bool transposed, const float* cos,
         const float* sin)
        : pairs_(pairs), pairing_(pairing), cosines_(2 * tokens * pairs), sines_(2 * tokens * pairs) {
        const float sign = transposed ? -1.0F : 1.0F;
        const std::size_t step = pairing == Pairing::half ? 1 : 2,
                          partner = pairing == Pairing::half ? pairs : 1;
        for (std::size_t token = 0; token < tokens; ++token) {
            for (std::size_t i = 0; i < pairs; ++i) {
                const std::size_t a = 2 * token * pairs + step * i, b = a + partner;
                cosines_[a] = cosines_[b] = cos[token * pairs + i];
                sines_[b] = sign * sin[token * pairs + i];
                sines_[a] = -sines_[b];
            }
        }
    }

    // Writes the 2 * pairs numbers of x to y, rotated for the position of the token.
    [[gnu::always_inline]] void operator()(std::size_t token, const float* __restrict x,
                                           float* __restrict y) const {
        const float* __restrict const c = cosines_.data() + 2 * token * pairs_;
        const float* __restrict const s = sines_.data() + 2 * token * pairs_;
        if (pairing_ == Pairing::half) {
            for (std::size_t i = 0; i < pairs_; ++i) y[i] = x[i] * c[i] + x[i + pairs_] * s[i];
            for (std::size_t i = pairs_; i < 2 * pairs_; ++i) y[i] = x[i] * c[i] + x[i - pairs_] * s[i];
            return;
        }
        std::size_t i = 0;
        for (; i + eight <= 2 * pairs_; i += eight) {
            Vector here, swapped, cosines, sines;
            load(x + i, here);
            load(c + i, cosines);
            load(s + i, sines);
            swap_neighbours(here, swapped);
            const Vector turned = here * cosines + swapped * sines;
            std::memcpy(y + i, &turned, sizeof turned);
        }
        for (; i < 2 * pairs_; ++i) y[i] = x[i] * c[i] + x[i ^ 1U] * s[i];
    }

  private:
    using Pairs = std::uint64_t __attribute__((vector_size(sizeof(Vector))));

    // A pair is one number of 64 bits; rotating it by 32 bits swaps its halves.
    [[gnu::always_inline]] static void swap_neighbours(const Vector& vector, Vector& swapped) {
        Pairs pairs;
        std::memcpy(&pairs, &vector, sizeof pairs);
        pairs = pairs << 32 | pairs >> 32;
        std::memcpy(&swapped, &pairs, sizeof pairs);
    }

    std::size_t pairs_;
    Pairing pairing_;
    std::vector<float> cosines_, sines_;
};

}  // namespace kernels
