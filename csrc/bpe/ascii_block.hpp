// Classifies 64 bytes of ASCII at a time: one 64-bit mask each for letters, digits, spaces and so on.
//
// Matching a pre-token pattern then takes a few bitwise operations on masks, with one bit per byte and no
// branch per byte. SSE2 is part of every x86-64 processor; elsewhere plain comparisons do the same, one byte
// at a time.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace bpe {

struct AsciiBlock {
    static constexpr std::size_t size = 64;

    // Bit k describes byte k. Where a byte is not ASCII, the other masks have no meaning.
    std::uint64_t not_ascii = 0;
    std::uint64_t letters = 0;
    std::uint64_t capitals = 0;
    std::uint64_t digits = 0;
    std::uint64_t spaces = 0;     // all white space: \s
    std::uint64_t blanks = 0;     // U+0020 only
    std::uint64_t line_ends = 0;  // [\r\n]
    std::uint64_t controls = 0;   // \p{Cc} without white space
    std::uint64_t apostrophes = 0;
    std::uint64_t slashes = 0;
};

// Reads 64 bytes.
inline AsciiBlock classify(const std::uint8_t* bytes);

#ifdef __SSE2__

inline AsciiBlock classify(const std::uint8_t* bytes) {
    AsciiBlock block;
    const auto all = [](char byte) { return _mm_set1_epi8(byte); };
    // first <= byte < first + count, for ASCII bytes: shifted so that one signed comparison decides
    const auto in_range = [&](__m128i values, int first, int count) {
        const __m128i shifted = _mm_add_epi8(values, all(static_cast<char>(-128 - first)));
        return _mm_cmplt_epi8(shifted, all(static_cast<char>(-128 + count)));
    };
    const auto bits = [](__m128i values) {
        return static_cast<std::uint64_t>(static_cast<unsigned>(_mm_movemask_epi8(values)));
    };
    for (std::size_t quarter = 0; quarter < 4; ++quarter) {
        const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + 16 * quarter));
        const auto equal = [&](char byte) { return _mm_cmpeq_epi8(values, all(byte)); };
        const __m128i blank = equal(' ');
        const __m128i space = _mm_or_si128(blank, in_range(values, '\t', 5));
        const __m128i control = _mm_or_si128(in_range(values, 0, 0x20), equal(0x7f));
        const std::size_t place = 16 * quarter;
        block.not_ascii |= bits(values) << place;
        block.letters |= bits(in_range(_mm_or_si128(values, all(0x20)), 'a', 26)) << place;
        block.capitals |= bits(in_range(values, 'A', 26)) << place;
        block.digits |= bits(in_range(values, '0', 10)) << place;
        block.spaces |= bits(space) << place;
        block.blanks |= bits(blank) << place;
        block.line_ends |= bits(_mm_or_si128(equal('\n'), equal('\r'))) << place;
        block.controls |= bits(_mm_andnot_si128(space, control)) << place;
        block.apostrophes |= bits(equal('\'')) << place;
        block.slashes |= bits(equal('/')) << place;
    }
    return block;
}

#else

inline AsciiBlock classify(const std::uint8_t* bytes) {
    AsciiBlock block;
    for (std::size_t k = 0; k < AsciiBlock::size; ++k) {
        const std::uint8_t byte = bytes[k];
        const auto mark = [k](std::uint64_t& mask, bool set) { mask |= std::uint64_t{set} << k; };
        const auto in_range = [byte](unsigned first, unsigned count) { return byte - first < count; };
        const bool space = byte == ' ' || in_range('\t', 5);
        mark(block.not_ascii, byte >= 0x80);
        mark(block.letters, in_range('a', 26) || in_range('A', 26));
        mark(block.capitals, in_range('A', 26));
        mark(block.digits, in_range('0', 10));
        mark(block.spaces, space);
        mark(block.blanks, byte == ' ');
        mark(block.line_ends, byte == '\n' || byte == '\r');
        mark(block.controls, !space && (byte < 0x20 || byte == 0x7f));
        mark(block.apostrophes, byte == '\'');
        mark(block.slashes, byte == '/');
    }
    return block;
}

#endif

}  // namespace bpe
