// Characters of three bytes in UTF-8: Chinese, Japanese, Korean, most of Indian scripts, and their
// punctuation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>

namespace bpe {

// 16 bits that stand for the three bytes of such a character. Only the form of the bytes counts (1110xxxx
// 10xxxxxx 10xxxxxx), not whether Unicode allows them, so that codes and strings of this form correspond one
// to one.
using WideChar = std::uint16_t;

constexpr std::size_t wide_bytes = 3;
constexpr std::size_t num_wide_chars = std::size_t{1} << 16;

constexpr bool leads_wide(std::uint8_t byte) {
    return (byte & 0xf0) == 0xe0;
}

constexpr bool continues(std::uint8_t byte) {
    return (byte & 0xc0) == 0x80;
}

// The code of the three bytes at `at`, which have that form.
inline WideChar wide_code(const std::uint8_t* at) {
    return static_cast<WideChar>((at[0] & 0x0fU) << 12 | (at[1] & 0x3fU) << 6 | (at[2] & 0x3fU));
}

// The character at `at`, if there is a complete one before `end`.
inline std::optional<WideChar> wide_char_at(const std::uint8_t* at, const std::uint8_t* end) {
    if (end - at < static_cast<std::ptrdiff_t>(wide_bytes) || !leads_wide(at[0]) || !continues(at[1]) ||
        !continues(at[2])) {
        return std::nullopt;
    }
    return wide_code(at);
}

// Its bytes.
struct WideBytes {
    std::uint8_t bytes[wide_bytes];

    explicit WideBytes(WideChar code)
        : bytes{static_cast<std::uint8_t>(0xe0 | code >> 12),
                static_cast<std::uint8_t>(0x80 | (code >> 6 & 0x3f)),
                static_cast<std::uint8_t>(0x80 | (code & 0x3f))} {}
};

}  // namespace bpe
