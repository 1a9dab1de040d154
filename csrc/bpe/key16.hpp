// Short pre-tokens as 16-byte values that are compared and hashed in a few instructions, without reading the
// text again.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace bpe {

// Up to 15 bytes of text, zero-padded, and their number in the last byte, so that "a" and "a\0" differ.
struct Key16 {
    static constexpr std::size_t max_length = 15;

    std::uint64_t low = 0;
    std::uint64_t high = 0;

    bool operator==(const Key16&) const = default;

    // `length` <= max_length. Reads up to 16 bytes where `text_end` allows, which is faster than an exact
    // copy.
    static Key16 load(const std::uint8_t* data, std::size_t length, const std::uint8_t* text_end) {
        Key16 key;
        if constexpr (std::endian::native == std::endian::little) {
            if (static_cast<std::size_t>(text_end - data) >= 16) {
                std::memcpy(&key, data, 16);
                const std::uint64_t bits = 8 * length;
                if (bits < 64) {
                    key.low &= (std::uint64_t{1} << bits) - 1;
                    key.high = 0;
                } else {
                    key.high &= (std::uint64_t{1} << (bits - 64)) - 1;
                }
                key.high |= std::uint64_t{length} << 56;
                return key;
            }
        }
        std::uint8_t bytes[16] = {};
        std::memcpy(bytes, data, length);
        bytes[15] = static_cast<std::uint8_t>(length);
        std::memcpy(&key, bytes, 16);
        return key;
    }

    std::uint64_t hash() const {
        std::uint64_t mixed = (low ^ (high * 0x9e3779b97f4a7c15ULL)) * 0xd6e8feb86659fd93ULL;
        mixed ^= mixed >> 32;
        return mixed * 0xd6e8feb86659fd93ULL;
    }
};

}  // namespace bpe
