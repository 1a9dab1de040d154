// The English contractions that the patterns know: 's 't 'd 'm 'll 've 're.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bpe {

enum class Case : bool { sensitive, insensitive };

// The length of the contraction at `text`, which starts with an apostrophe and has `available` bytes; 0 if
// there is none. Case-insensitive s is also U+017F, the long s.
template <Case letter_case>
std::size_t contraction_length(const std::uint8_t* text, std::size_t available) {
    if (available < 2) return 0;
    constexpr bool fold = letter_case == Case::insensitive;
    const auto letter_at = [text](std::size_t place) { return fold ? text[place] | 0x20 : text[place]; };
    switch (letter_at(1)) {
        case 's':
        case 't':
        case 'd':
        case 'm':
            return 2;
        case 'l':
            return available > 2 && letter_at(2) == 'l' ? 3 : 0;
        case 'v':
        case 'r':
            return available > 2 && letter_at(2) == 'e' ? 3 : 0;
        default:
            return fold && available > 2 && text[1] == 0xc5 && text[2] == 0xbf ? 3 : 0;
    }
}

}  // namespace bpe
