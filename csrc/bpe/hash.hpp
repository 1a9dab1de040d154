// A fast hash of byte strings, for tables in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "bpe/bytes.hpp"

namespace bpe {

// Folds eight bytes at a time. All bits of the result are usable.
inline std::uint64_t hash_bytes(Bytes bytes) {
    const std::uint8_t* data = bytes.data();
    std::size_t size = bytes.size();
    constexpr std::uint64_t multiplier = 0xd6e8feb86659fd93ULL;
    std::uint64_t state = size * 0x9e3779b97f4a7c15ULL;
    const auto mix = [&](std::uint64_t word) {
        state = (state ^ word) * multiplier;
        state ^= state >> 32;
    };
    std::uint64_t word = 0;
    for (; size >= 8; data += 8, size -= 8) {
        std::memcpy(&word, data, 8);
        mix(word);
    }
    word = 0;
    if (size != 0) std::memcpy(&word, data, size);
    mix(word);
    return state * multiplier;
}

}  // namespace bpe
