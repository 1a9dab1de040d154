// Characters and the classes that the pre-tokenization patterns use.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace bpe {

// One bit per class. Upper and lower are the two halves of a word in o200k's pattern: letters without case
// and marks belong to both.
enum CharClass : std::uint8_t {
    letter = 1,         // \p{L}
    upper = 2,          // [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]
    lower = 4,          // [\p{Ll}\p{Lm}\p{Lo}\p{M}]
    digit = 8,          // \p{N}
    space = 16,         // \s
    mark = 32,          // \p{M}
    punct_symbol = 64,  // [\p{P}\p{S}]
    cjk = 128,          // DeepSeek's [一-龥぀-ゟ゠-ヿ]: some ideographs, hiragana and katakana
};

namespace unicode {
#include "bpe/unicode_table.inc"
}

// One character of a text: its classes and its length in bytes.
struct Character {
    std::uint8_t classes;
    std::uint8_t length;

    bool is(unsigned wanted) const { return (classes & wanted) != 0; }
};

constexpr std::uint8_t classes_of(std::uint32_t code_point) {
    return unicode::classes[std::size_t{unicode::block_of[code_point >> 8]} << 8 | (code_point & 0xff)];
}

// The character at `at` < `end`, which is not ASCII. A byte that does not begin valid UTF-8 (RFC 3629:
// shortest form, no surrogates, up to U+10FFFF) counts as one symbol.
inline Character decode_character(const std::uint8_t* at, const std::uint8_t* end) {
    constexpr Character invalid{punct_symbol, 1};
    const auto continues = [](std::uint8_t byte) { return (byte & 0xc0) == 0x80; };
    const std::uint32_t lead = *at;
    const auto available = end - at;
    if (lead >= 0xe0 && lead < 0xf0) {
        if (available < 3 || !continues(at[1]) || !continues(at[2])) return invalid;
        const std::uint32_t code = (lead & 0x0f) << 12 | (at[1] & 0x3fU) << 6 | (at[2] & 0x3fU);
        if (code < 0x800 || (code >= 0xd800 && code < 0xe000)) return invalid;
        return {classes_of(code), 3};
    }
    if (lead >= 0xc2 && lead < 0xe0) {
        if (available < 2 || !continues(at[1])) return invalid;
        return {classes_of((lead & 0x1f) << 6 | (at[1] & 0x3fU)), 2};
    }
    if (lead >= 0xf0 && lead < 0xf5) {
        if (available < 4 || !continues(at[1]) || !continues(at[2]) || !continues(at[3])) return invalid;
        const std::uint32_t code =
            (lead & 0x07) << 18 | (at[1] & 0x3fU) << 12 | (at[2] & 0x3fU) << 6 | (at[3] & 0x3fU);
        if (code < 0x10000 || code > 0x10ffff) return invalid;
        return {classes_of(code), 4};
    }
    return invalid;
}

// The character at `at` < `end`.
inline Character character_at(const std::uint8_t* at, const std::uint8_t* end) {
    if (*at < 0x80) return {unicode::classes[std::size_t{unicode::block_of[0]} << 8 | *at], 1};
    return decode_character(at, end);
}

}  // namespace bpe
