// What ascii_block.hpp does, for processors with AVX2: half as many instructions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "bpe/ascii_block.hpp"
#include "bpe/block_cuts.hpp"

// Without SSE2, this is the build that tests what needs no vector instructions.
#if defined(__x86_64__) && defined(__GNUC__) && defined(__SSE2__)
#define BPE_HAS_AVX2_BLOCKS

#include <immintrin.h>

// Compiles a function for the instructions that avx2_blocks_run() asks the processor about.
#define BPE_AVX2 [[gnu::target("avx2,bmi,bmi2,popcnt")]]

namespace bpe {

// Whether this processor has the instructions.
inline bool avx2_blocks_run() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
}

namespace avx2 {

struct Blocks {
    static constexpr bool are_fast = true;

    BPE_AVX2 static __m256i all(char byte) { return _mm256_set1_epi8(byte); }

    // Which ASCII bytes are `first` or one of the `count` - 1 behind it: shifted so that one signed
    // comparison decides.
    BPE_AVX2 static __m256i in_range(__m256i bytes, int first, int count) {
        const __m256i shifted = _mm256_add_epi8(bytes, all(static_cast<char>(-128 - first)));
        return _mm256_cmpgt_epi8(all(static_cast<char>(-128 + count)), shifted);
    }

    BPE_AVX2 static __m256i equal(__m256i bytes, char byte) { return _mm256_cmpeq_epi8(bytes, all(byte)); }

    BPE_AVX2 static std::uint64_t bits(__m256i low, __m256i high) {
        return std::uint64_t{static_cast<std::uint32_t>(_mm256_movemask_epi8(high))} << 32 |
               static_cast<std::uint32_t>(_mm256_movemask_epi8(low));
    }

    BPE_AVX2 static AsciiBlock classify(const std::uint8_t* data) {
        const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(data));
        const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(data + 32));
        AsciiBlock block;
        block.not_ascii = bits(low, high);
        block.letters = bits(in_range(_mm256_or_si256(low, all(0x20)), 'a', 26),
                             in_range(_mm256_or_si256(high, all(0x20)), 'a', 26));
        block.capitals = bits(in_range(low, 'A', 26), in_range(high, 'A', 26));
        block.digits = bits(in_range(low, '0', 10), in_range(high, '0', 10));
        block.blanks = bits(equal(low, ' '), equal(high, ' '));
        block.spaces = block.blanks | bits(in_range(low, '\t', 5), in_range(high, '\t', 5));
        block.line_ends =
            bits(equal(low, '\n'), equal(high, '\n')) | bits(equal(low, '\r'), equal(high, '\r'));
        block.controls = (bits(in_range(low, 0, 0x20), in_range(high, 0, 0x20)) |
                          bits(equal(low, 0x7f), equal(high, 0x7f))) &
                         ~block.spaces;
        block.apostrophes = bits(equal(low, '\''), equal(high, '\''));
        block.slashes = bits(equal(low, '/'), equal(high, '/'));
        return block;
    }

    BPE_AVX2 static std::size_t write_places(cuts::Mask mask, const std::uint8_t* begin,
                                             const std::uint8_t** places) {
        const auto count = static_cast<std::size_t>(__builtin_popcountll(mask));
        cuts::write_places<16>(mask, begin, places);
        for (std::size_t k = 16; k < count; k += 8) cuts::write_places<8>(mask, begin, places + k);
        return count;
    }
};

// As cut_blocks() in block_cuts.hpp.
template <Pattern pattern>
BPE_AVX2 std::size_t cut_blocks(const std::uint8_t*& begin, const std::uint8_t* end,
                                const std::uint8_t** ends, std::size_t capacity) {
    return cut_blocks_with<pattern, Blocks>(begin, end, ends, capacity);
}

}  // namespace avx2

}  // namespace bpe

#endif
