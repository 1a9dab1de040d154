// Runs of Chinese characters, several at a time.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "bpe/unicode.hpp"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace bpe {

// The three-byte characters with the lead bytes E4 to E9, U+4000 to U+9FFF without U+4DC0 to U+4DFF (E4 B7 80
// to E4 B7 BF): ideographs.
constexpr bool leads_ideograph(std::uint8_t byte) {
    return byte >= 0xe4 && byte <= 0xe9;
}

namespace ideographs {

constexpr bool all_have(std::uint32_t first, std::uint32_t last, unsigned wanted, unsigned unwanted) {
    for (std::uint32_t code = first; code <= last; ++code) {
        if ((classes_of(code) & wanted) != wanted || (classes_of(code) & unwanted) != 0) return false;
    }
    return true;
}
static_assert(all_have(0x4000, 0x4dbf, letter | upper | lower, digit | space | mark | punct_symbol));
static_assert(all_have(0x4e00, 0x9fff, letter | upper | lower, digit | space | mark | punct_symbol));

}  // namespace ideographs

// The end of the run of these characters from `at` on, or a place before it, after a whole character. All of
// them are letters without case.
inline const std::uint8_t* skip_ideographs(const std::uint8_t* at, [[maybe_unused]] const std::uint8_t* end) {
#ifdef __SSE2__
    // Five characters; each byte is compared with the range that is allowed at its place.
    constexpr std::size_t step = 15;
    const auto lead = static_cast<char>(0xe4);
    const auto next = static_cast<char>(0x80);
    const __m128i lowest = _mm_setr_epi8(lead, next, next, lead, next, next, lead, next, next, lead, next,
                                         next, lead, next, next, 0);
    const __m128i range = _mm_setr_epi8(5, 63, 63, 5, 63, 63, 5, 63, 63, 5, 63, 63, 5, 63, 63, 0);
    while (end - at >= 16) {
        const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
        const __m128i above = _mm_sub_epi8(values, lowest);
        const auto fits =
            static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(above, range), above)));
        // The exception, E4 B7.
        const auto e4 = static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(values, _mm_set1_epi8(lead))));
        const auto b7 = static_cast<unsigned>(
            _mm_movemask_epi8(_mm_cmpeq_epi8(values, _mm_set1_epi8(static_cast<char>(0xb7)))));
        const unsigned wrong = (~fits | (e4 << 1 & b7)) & 0x7fff;
        if (wrong == 0) {
            at += step;
            continue;
        }
        return at + static_cast<std::size_t>(std::countr_zero(wrong)) / 3 * 3;
    }
#endif
    return at;
}

}  // namespace bpe
