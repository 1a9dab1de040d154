// Short pre-tokens as 16-byte values that are compared and hashed in a few instructions, without reading the
// text again.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "bpe/bytes.hpp"

namespace bpe {

// Up to 15 bytes of text, zero-padded, and their number in the last byte, so that "a" and "a\0" differ.
struct Key16 {
    static constexpr std::size_t max_length = 15;

    std::uint64_t low = 0;
    std::uint64_t high = 0;

    bool operator==(const Key16&) const = default;

    // 0 if the other key is the same. Without a branch.
    std::uint64_t difference(const Key16& other) const { return (low ^ other.low) | (high ^ other.high); }

    // `length` <= max_length. Reads up to 16 bytes where `text_end` allows, which is faster than an exact
    // copy.
    static Key16 load(const std::uint8_t* data, std::size_t length, const std::uint8_t* text_end) {
        if (length > max_length) __builtin_unreachable();  // GCC warns of longer ones under a sanitizer
        if (text_end - data >= 16) [[likely]]
            return masked(data, length);
        std::uint8_t bytes[16] = {};
        std::memcpy(bytes, data, length);
        return masked(bytes, length);
    }

    // A key that differs from those of all texts: for a second value of the same text.
    Key16 marked() const { return {low, high | std::uint64_t{0x80} << length_shift}; }

    // The text that it was made of, for as long as the key lives; not for a marked key.
    Bytes bytes() const {
        const auto* const data = reinterpret_cast<const std::uint8_t*>(this);
        return {data, data[max_length]};
    }

    // One multiplication of 64 by 64 bits, folded to 64.
    std::uint64_t hash() const {
        __extension__ using Product = unsigned __int128;
        const Product product = Product{low ^ 0x9e3779b97f4a7c15ULL} * (high ^ 0xd6e8feb86659fd93ULL);
        return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
    }

  private:
    static Key16 masked(const std::uint8_t* data, std::size_t length) {
        Key16 key;
        std::memcpy(&key, data, 16);
        key.low &= masks[length].low;
        key.high = (key.high & masks[length].high) | std::uint64_t{length} << length_shift;
        return key;
    }

    struct Mask {
        std::uint64_t low = 0;
        std::uint64_t high = 0;
    };
    // The first `length` bytes in memory; a table, as lengths cannot be predicted.
    static constexpr std::array<Mask, max_length + 1> make_masks() {
        std::array<Mask, max_length + 1> result;
        for (std::size_t length = 0; length <= max_length; ++length) {
            std::array<std::uint8_t, 16> bytes{};
            for (std::size_t k = 0; k < length; ++k) bytes[k] = 0xff;
            result[length] = std::bit_cast<Mask>(bytes);
        }
        return result;
    }
    static const std::array<Mask, max_length + 1> masks;
    // The last byte in memory.
    static constexpr unsigned length_shift = std::endian::native == std::endian::little ? 56 : 0;
};

inline constexpr std::array<Key16::Mask, Key16::max_length + 1> Key16::masks = Key16::make_masks();

}  // namespace bpe
