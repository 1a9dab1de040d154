// The patterns as bitwise operations on the masks of a block: bit k of `starts` says that byte k begins a
// pre-token.
//
// A block is placed so that its first byte begins a pre-token, and its starts are used only as far as the
// block contains everything that determines them: the next block begins at the last certain start. No state
// is carried over from block to block.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "bpe/ascii_block.hpp"
#include "bpe/contraction.hpp"
#include "bpe/pretokenize.hpp"

namespace bpe {
namespace cuts {

using Mask = std::uint64_t;

// before(mask): bit k says whether byte k - 1 is in `mask`; after(mask): whether byte k + 1 is.
constexpr Mask before(Mask mask) {
    return mask << 1;
}
constexpr Mask after(Mask mask) {
    return mask >> 1;
}
constexpr Mask bit(std::size_t place) {
    return Mask{1} << place;
}
// The bytes up to and including number `place` < 64.
constexpr Mask up_to(std::size_t place) {
    return (bit(place) << 1) - 1;
}

// How many bits are set: std::popcount calls a function where the processor might not have the instruction.
constexpr std::size_t count_bits(Mask mask) {
    mask -= mask >> 1 & 0x5555555555555555;
    mask = (mask & 0x3333333333333333) + (mask >> 2 & 0x3333333333333333);
    mask = (mask + (mask >> 4)) & 0x0f0f0f0f0f0f0f0f;
    return static_cast<std::size_t>(mask * 0x0101010101010101 >> 56);
}

// Writes the places of the lowest `count` bits of `mask`, which it clears; something else once no bit is
// left.
template <std::size_t count>
[[gnu::always_inline]] inline void write_places(Mask& mask, const std::uint8_t* begin,
                                                const std::uint8_t** places) {
    for (std::size_t k = 0; k < count; ++k, mask &= mask - 1)
        places[k] = begin + std::countr_zero(mask | bit(63));
}

// The first bytes of runs.
constexpr Mask run_starts(Mask mask) {
    return mask & ~before(mask);
}

// The four kinds of characters that every pattern distinguishes.
struct Classes {
    Mask letters, digits, spaces, symbols;

    explicit Classes(const AsciiBlock& block)
        : letters(block.letters),
          digits(block.digits),
          spaces(block.spaces),
          symbols(~(block.letters | block.digits | block.spaces)) {}
};

// For GPT-2 and StarCoder: the starts that are certain when only the first `length` >= 3 bytes of the block
// at `begin` are known.
template <Pattern pattern>
[[gnu::always_inline]] inline Mask gpt2_family(const AsciiBlock& block, const std::uint8_t* begin,
                                               std::size_t length) {
    const Classes in(block);
    // A run of letters, digits or symbols starts a pre-token, unless a blank before it belongs to it.
    Mask starts =
        (run_starts(in.letters) | run_starts(in.digits) | run_starts(in.symbols)) & ~before(block.blanks);
    for (Mask rest = block.apostrophes & starts; rest != 0; rest &= rest - 1) {
        const auto at = static_cast<std::size_t>(std::countr_zero(rest));
        if (const std::size_t taken =
                contraction_length<Case::sensitive>(begin + at, AsciiBlock::size - at)) {
            starts &= ~(bit(at) << 1);
            starts |= bit(at) << taken;
        }
    }
    // White space starts a pre-token where its run begins, and again at its last character if something
    // visible follows: the look-ahead of \s+(?!\S) leaves that character out.
    Mask last_spaces = in.spaces & ~after(in.spaces);
    if constexpr (pattern == Pattern::starcoder) {
        starts |= in.digits;
        last_spaces &= ~after(in.digits);  // before a digit, the look-ahead sees the end of a text
    }
    starts |= run_starts(in.spaces) | last_spaces;
    return starts & up_to(length - 2);  // the neighbour of the last byte is not known
}

// The same for cl100k, o200k, DeepSeek, Qwen2 and Llama 3.
template <Pattern pattern>
[[gnu::always_inline]] inline Mask cl100k_family(const AsciiBlock& block, const std::uint8_t* begin,
                                                 std::size_t length) {
    const Classes in(block);
    const Mask line_ends = block.line_ends;
    const Mask inner_spaces = in.spaces & ~line_ends;

    // A run of symbols starts a pre-token, unless a blank before it belongs to it. Letters after a single
    // symbol belong to its pre-token, and likewise letters after white space other than line ends.
    const Mask symbol_starts = run_starts(in.symbols) & ~before(block.blanks);
    Mask starts = symbol_starts | (run_starts(in.letters) & ~before(inner_spaces | symbol_starts));
    if constexpr (pattern == Pattern::o200k) starts |= block.capitals & before(in.letters & ~block.capitals);

    if constexpr (pattern == Pattern::qwen2) {
        starts |= in.digits;
    } else {
        const Mask fourth = in.digits & before(in.digits) & before(before(in.digits));
        for (Mask group = run_starts(in.digits); group != 0; group = group << 3 & fourth) starts |= group;
    }

    // Line ends belong to the symbols before them. White space after the last line end of its run starts a
    // new pre-token, and so does its last character, which belongs to the text that follows.
    Mask last_spaces = inner_spaces & ~after(in.spaces);
    // DeepSeek's look-ahead stops where digits were cut out.
    if constexpr (pattern == Pattern::deepseek) last_spaces &= ~after(in.digits);
    starts |= (run_starts(line_ends) & ~before(in.symbols)) | run_starts(inner_spaces) | last_spaces;

    // Nothing after the last visible byte is certain: more white space could change all cuts there.
    Mask certain = up_to(length - 2);
    const Mask visible = ~in.spaces & up_to(length - 1);
    if (visible == 0) return 0;
    certain &= up_to(static_cast<std::size_t>(std::bit_width(visible)) - 1) << 1 | 1;
    // Line ends after other white space undo the cuts before them: only the start of the run is certain.
    if (const Mask undone = inner_spaces & after(line_ends) & certain) {
        const Mask ahead = visible & (undone ^ (undone - 1));
        certain &= ahead == 0 ? 1 : up_to(static_cast<std::size_t>(std::bit_width(ahead)) - 1) << 1 | 1;
    }

    if constexpr (pattern == Pattern::o200k) {
        // A slash after line ends may belong to the symbols before those.
        if (const Mask open = line_ends & after(block.slashes)) certain &= open ^ (open - 1);
        // A contraction belongs to the word before it, but a second one does not.
        std::size_t contracted = 0;
        for (Mask rest = block.apostrophes & before(in.letters) & certain; rest != 0; rest &= rest - 1) {
            const auto at = static_cast<std::size_t>(std::countr_zero(rest));
            if (at + 2 >= length) {
                certain &= up_to(at - 1);
                break;
            }
            if (at == contracted) continue;
            if (const std::size_t taken = contraction_length<Case::insensitive>(begin + at, length - at)) {
                starts &= ~((bit(taken) - 1) << at);
                starts |= bit(at) << taken;
                contracted = at + taken;
            }
        }
    } else if constexpr (pattern != Pattern::deepseek) {
        for (Mask rest = block.apostrophes & symbol_starts; rest != 0; rest &= rest - 1) {
            const auto at = static_cast<std::size_t>(std::countr_zero(rest));
            const std::size_t taken =
                contraction_length<Case::insensitive>(begin + at, AsciiBlock::size - at);
            if (taken != 0) starts |= bit(at) << taken;
        }
    }
    return starts & certain;
}

// Where pre-tokens start in a block after its first byte, where one must start, as far as the leading ASCII
// bytes determine it: at most 62 places. The block was read at `bytes`.
template <Pattern pattern>
[[gnu::always_inline]] inline Mask certain_starts(const AsciiBlock& block, const std::uint8_t* bytes) {
    Mask unknown = block.not_ascii;
    // No alternative of DeepSeek's pattern matches a control character: the other scanner handles these gaps.
    if constexpr (pattern == Pattern::deepseek) unknown |= block.controls;
    const auto length = static_cast<std::size_t>(std::countr_zero(unknown));
    if (length < 3) return 0;
    Mask starts = 0;
    if constexpr (pattern == Pattern::gpt2 || pattern == Pattern::starcoder) {
        starts = gpt2_family<pattern>(block, bytes, length);
    } else {
        starts = cl100k_family<pattern>(block, bytes, length);
    }
    return starts & ~Mask{1};
}

}  // namespace cuts

// Whether a block is worth classifying: in other scripts it would end after a few bytes, and one would be
// needed for every pre-token. The rest of a text is left to the other scanner if it is short.
inline bool is_worth_a_block(const std::uint8_t* begin, const std::uint8_t* end) {
    constexpr std::ptrdiff_t fewest = 24;
    if (end - begin < fewest) return false;
    std::uint64_t bytes = 0;
    std::memcpy(&bytes, begin, sizeof bytes);
    return (bytes & 0x8080808080808080) == 0;
}

// Where to read the block that starts at `begin`: at the end of a text, in `copy`, filled up with bytes that
// are not ASCII.
inline const std::uint8_t* block_bytes(const std::uint8_t* begin, const std::uint8_t* end,
                                       std::array<std::uint8_t, AsciiBlock::size>& copy) {
    const auto left = static_cast<std::size_t>(end - begin);
    if (left >= AsciiBlock::size) return begin;
    copy.fill(0x80);
    std::memcpy(copy.data(), begin, left);
    return copy.data();
}

// In these patterns, whether a pre-token starts at a byte depends on the byte before it, the one behind it,
// and on contractions that begin up to three bytes before it, and on nothing else.
template <Pattern pattern>
inline constexpr bool is_local = pattern == Pattern::gpt2 || pattern == Pattern::starcoder;

// Of a block in the middle of ASCII text, the places that are certain in a local pattern: not the first four,
// whose contractions may have begun before the block, nor the last three, where one may begin that ends after
// it.
inline constexpr cuts::Mask certain_in_the_middle = cuts::up_to(60) & ~cuts::up_to(3);

// Cuts block after block, as long as each is worth it and contains the end of a pre-token, and `ends` has
// room for another 64. A pre-token must start at `begin`, which is moved to the last end. Returns the number
// of ends; if it is 0, another scanner has to find the next pre-token. Blocks::classify(bytes) is that of
// ascii_block.hpp; Blocks::write_places(mask, begin, places) writes the places of all bits and returns
// their number; it may overwrite 64 places, whatever the number is. Blocks::are_fast says that waiting for
// cuts takes longer than to classify the same bytes twice.
template <Pattern pattern, class Blocks>
[[gnu::always_inline]] inline std::size_t cut_blocks_with(const std::uint8_t*& begin, const std::uint8_t* end,
                                                          const std::uint8_t** ends, std::size_t capacity) {
    std::size_t written = 0;
    while (capacity - written >= AsciiBlock::size && is_worth_a_block(begin, end)) {
        std::array<std::uint8_t, AsciiBlock::size> copy;
        const std::uint8_t* const bytes = block_bytes(begin, end, copy);
        const AsciiBlock block = Blocks::classify(bytes);
        const cuts::Mask starts = cuts::certain_starts<pattern>(block, bytes);
        if (starts == 0) break;
        written += Blocks::write_places(starts, begin, ends + written);
        if constexpr (Blocks::are_fast && is_local<pattern>) {
            // Blocks that do not wait for the cuts before them. All starts before `next` are written.
            const std::uint8_t* next = begin + 63;
            for (; block.not_ascii == 0 && capacity - written >= AsciiBlock::size && end - next >= 60;
                 next += 57) {
                const AsciiBlock middle = Blocks::classify(next - 4);
                if (middle.not_ascii != 0) break;
                const cuts::Mask certain =
                    cuts::gpt2_family<pattern>(middle, next - 4, AsciiBlock::size) & certain_in_the_middle;
                written += Blocks::write_places(certain, next - 4, ends + written);
            }
            begin = ends[written - 1];
        } else {
            begin += std::bit_width(starts) - 1;  // not read from `ends`, as the next block waits for it
        }
    }
    return written;
}

// For any processor.
struct PlainBlocks {
    static constexpr bool are_fast = false;

    static AsciiBlock classify(const std::uint8_t* bytes) { return bpe::classify(bytes); }

    static std::size_t write_places(cuts::Mask mask, const std::uint8_t* begin, const std::uint8_t** places) {
        const std::size_t count = cuts::count_bits(mask);
        // The number cannot be predicted: a branch for each place would fail in nearly every block.
        cuts::write_places<16>(mask, begin, places);
        for (std::size_t k = 16; k < count; k += 8) cuts::write_places<8>(mask, begin, places + k);
        return count;
    }
};

template <Pattern pattern>
std::size_t cut_blocks(const std::uint8_t*& begin, const std::uint8_t* end, const std::uint8_t** ends,
                       std::size_t capacity) {
    return cut_blocks_with<pattern, PlainBlocks>(begin, end, ends, capacity);
}

}  // namespace bpe
