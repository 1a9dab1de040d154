// GPT-2's pattern on blocks of ASCII text.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "bpe/ascii_block.hpp"

namespace bpe {

// The length of the contraction ('s 't 'd 'm 'll 've 're) at `text`, which starts with an apostrophe and has
// `available` bytes; 0 if there is none.
inline std::size_t gpt2_contraction(const std::uint8_t* text, std::size_t available) {
    if (available < 2) return 0;
    switch (text[1]) {
        case 's':
        case 't':
        case 'd':
        case 'm':
            return 2;
        case 'l':
            return available > 2 && text[2] == 'l' ? 3 : 0;
        case 'v':
        case 'r':
            return available > 2 && text[2] == 'e' ? 3 : 0;
        default:
            return 0;
    }
}

// Writes the ends of the pre-tokens that end within [begin, begin + 64), a block whose first byte starts a
// pre-token, as far as the block alone decides them. Returns how many, at most 63; 0 if the block is not
// ASCII or holds one long pre-token: then another scanner must take the next one.
inline std::size_t gpt2_block(const std::uint8_t* begin, const std::uint8_t** ends) {
    const AsciiBlock block(begin);
    if (block.not_ascii != 0) return 0;
    const std::uint64_t letters = block.letters;
    const std::uint64_t digits = block.digits;
    const std::uint64_t spaces = block.spaces;
    const std::uint64_t symbols = ~(letters | digits | spaces);

    // A run of letters, digits or symbols starts a pre-token, unless a blank before it belongs to it.
    std::uint64_t starts =
        ((letters & ~(letters << 1)) | (digits & ~(digits << 1)) | (symbols & ~(symbols << 1))) &
        ~(block.blanks << 1);
    const std::uint64_t contractions = block.apostrophes & (starts | 1);
    // White space starts one where its run begins, and again with its last character if something visible
    // follows: the look-ahead of \s+(?!\S) gives that one up.
    starts |= (spaces & ~(spaces << 1)) | (spaces & ~(spaces >> 1));
    // The last byte's neighbour is not in this block.
    starts &= ~(std::uint64_t{1} << 63);

    for (std::uint64_t rest = contractions; rest != 0; rest &= rest - 1) {
        const int at = std::countr_zero(rest);
        if (at > 58) {  // what follows the contraction may lie outside
            starts &= (std::uint64_t{2} << at) - 1;
            break;
        }
        if (const std::size_t length =
                gpt2_contraction(begin + at, AsciiBlock::size - static_cast<std::size_t>(at))) {
            starts &= ~(std::uint64_t{2} << at);
            starts |= std::uint64_t{1} << (static_cast<std::size_t>(at) + length);
        }
    }

    starts &= ~std::uint64_t{1};  // the block's own start is nobody's end
    std::size_t count = 0;
    for (; starts != 0; starts &= starts - 1) ends[count++] = begin + std::countr_zero(starts);
    return count;
}

}  // namespace bpe
