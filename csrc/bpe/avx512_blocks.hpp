// What ascii_block.hpp and block_cuts.hpp do, for processors with AVX-512: a class of characters is a
// comparison of 64 bytes, and the places of the bits of a mask are one instruction.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "bpe/ascii_block.hpp"
#include "bpe/block_cuts.hpp"
#include "bpe/pretokenize.hpp"

// Without SSE2, this is the build that tests what needs no vector instructions.
#if defined(__x86_64__) && defined(__GNUC__) && defined(__SSE2__)
#define BPE_HAS_AVX512_BLOCKS

#include <immintrin.h>

// Compiles a function for the instructions that avx512_blocks_run() asks the processor about.
#define BPE_AVX512 [[gnu::target("avx512f,avx512bw,avx512vbmi2,bmi,bmi2,popcnt")]]

namespace bpe {

// Whether this processor has the instructions.
inline bool avx512_blocks_run() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
}

namespace avx512 {

BPE_AVX512 inline __m512i all(char byte) {
    return _mm512_set1_epi8(byte);
}

// Which of the bytes are `first` or one of the `count` - 1 behind it.
BPE_AVX512 inline std::uint64_t in_range(__m512i bytes, char first, char count) {
    return _mm512_cmplt_epu8_mask(_mm512_sub_epi8(bytes, all(first)), all(count));
}

BPE_AVX512 inline std::uint64_t equal(__m512i bytes, char byte) {
    return _mm512_cmpeq_epi8_mask(bytes, all(byte));
}

BPE_AVX512 inline AsciiBlock classify(const std::uint8_t* data) {
    const __m512i bytes = _mm512_loadu_si512(data);
    AsciiBlock block;
    block.not_ascii = _mm512_movepi8_mask(bytes);
    block.letters = in_range(_mm512_or_si512(bytes, all(0x20)), 'a', 26);
    block.capitals = in_range(bytes, 'A', 26);
    block.digits = in_range(bytes, '0', 10);
    block.blanks = equal(bytes, ' ');
    block.spaces = block.blanks | in_range(bytes, '\t', 5);
    block.line_ends = equal(bytes, '\n') | equal(bytes, '\r');
    block.controls = (in_range(bytes, 0, 0x20) | equal(bytes, 0x7f)) & ~block.spaces;
    block.apostrophes = equal(bytes, '\'');
    block.slashes = equal(bytes, '/');
    return block;
}

// Writes the places of all bits of `mask` and returns their number. Up to 64 places may be written.
BPE_AVX512 inline std::size_t write_places(cuts::Mask mask, const std::uint8_t* begin,
                                           const std::uint8_t** places) {
    alignas(64) static constexpr auto numbers = [] {
        std::array<std::uint8_t, 64> result{};
        for (std::uint8_t k = 0; k < 64; ++k) result[k] = k;
        return result;
    }();
    const __m512i found = _mm512_maskz_compress_epi8(mask, _mm512_load_si512(numbers.data()));
    const __m512i base = _mm512_set1_epi64(static_cast<long long>(reinterpret_cast<std::uintptr_t>(begin)));
    // With masks that leave nothing out, GCC 12 does not warn of values that its header leaves open.
    const __m128i first = _mm512_maskz_extracti32x4_epi32(0xf, found, 0);
    const __m128i second = _mm512_maskz_extracti32x4_epi32(0xf, found, 1);
    // The number cannot be predicted, but it rarely exceeds 24.
    std::size_t k = 0;
    for (const __m128i eight : {first, _mm_srli_si128(first, 8), second}) {
        _mm512_storeu_si512(static_cast<void*>(places + k),
                            _mm512_add_epi64(base, _mm512_maskz_cvtepu8_epi64(0xff, eight)));
        k += 8;
    }
    const auto count = static_cast<std::size_t>(std::popcount(mask));
    if (count > k) [[unlikely]] {
        alignas(64) std::array<std::uint8_t, 64> all_found;
        _mm512_store_si512(all_found.data(), found);
        for (; k < count; ++k) places[k] = begin + all_found[k];
    }
    return count;
}

struct Blocks {
    static constexpr bool are_fast = true;

    BPE_AVX512 static AsciiBlock classify(const std::uint8_t* bytes) { return avx512::classify(bytes); }
    BPE_AVX512 static std::size_t write_places(cuts::Mask mask, const std::uint8_t* begin,
                                               const std::uint8_t** places) {
        return avx512::write_places(mask, begin, places);
    }
};

// As cut_blocks() in block_cuts.hpp.
template <Pattern pattern>
BPE_AVX512 std::size_t cut_blocks(const std::uint8_t*& begin, const std::uint8_t* end,
                                  const std::uint8_t** ends, std::size_t capacity) {
    return cut_blocks_with<pattern, Blocks>(begin, end, ends, capacity);
}

}  // namespace avx512

}  // namespace bpe

#endif
