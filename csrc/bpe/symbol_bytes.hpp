// The order of pairs of equal counts: that of their byte strings.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "bpe/pair_queue.hpp"

namespace bpe {

// The bytes of a symbol. They are a part of the text, so that a long token needs no copy.
struct SymbolBytes {
    std::uint64_t prefix;  // the first 8 bytes, first byte most significant, zero-padded
    const std::uint8_t* data;
    std::size_t length;

    SymbolBytes(const std::uint8_t* begin, std::size_t size) : prefix(0), data(begin), length(size) {
        for (std::size_t i = 0; i < 8; ++i) prefix = prefix << 8 | (i < size ? begin[i] : 0U);
    }

    int compare(const SymbolBytes& other) const {
        if (prefix != other.prefix) return prefix < other.prefix ? -1 : 1;
        const std::size_t common = std::min(length, other.length);
        if (common > 8) {
            const int order = std::memcmp(data, other.data, common);
            if (order != 0) return order;
        }
        return length == other.length ? 0 : length < other.length ? -1 : 1;
    }
};

// Compares the pairs of byte strings as Python compares tuples of bytes.
struct PairLess {
    const std::vector<SymbolBytes>* symbols;

    bool operator()(const Candidate& a, const Candidate& b) const {
        if (a.left != b.left) return (*symbols)[a.left].compare((*symbols)[b.left]) < 0;
        return a.right != b.right && (*symbols)[a.right].compare((*symbols)[b.right]) < 0;
    }
};

}  // namespace bpe
