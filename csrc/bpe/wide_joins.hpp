// Where a merge may join two neighbouring characters of three bytes, and where none can: there a pre-token
// may be cut, and its parts merged one by one.
//
// Why that is exact. A merge across a place in a pre-token joins a symbol that ends there with one that
// begins there: the bytes of the left one are the last bytes before the place, those of the right one the
// first bytes after it. If no rule has two such sides, no merge ever crosses the place, so no merge on one
// side changes a symbol on the other. Merging takes the pair of lowest rank, the leftmost of equals; among
// the merges on one side, that is the order in which they would be done without the other side. So the ids of
// the whole are those of the two parts, one after the other.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "bpe/bytes.hpp"
#include "bpe/wide_char.hpp"

namespace bpe {

class Vocabulary;
struct Merge;

class WideJoins {
  public:
    // The rules with a side shorter than a character are few. Each has a bit (several may share one): a
    // character's `left` has the bits of those whose left side ends it, `right` of those whose right side
    // begins it.
    struct Partial {
        std::uint16_t left = 0;
        std::uint16_t right = 0;
    };
    static constexpr unsigned partial_bits = 15;

    WideJoins() = default;
    WideJoins(const Vocabulary& vocabulary, const std::vector<Merge>& merges);

    Partial partial(WideChar character) const;

    // Whether a rule may join `left` to `right`, whatever surrounds them, by sides that have at least one
    // whole character each. False for certain; true may be wrong, which costs time but no exactness.
    bool whole(WideChar left, WideChar right) const {
        const std::uint32_t place = place_of(left, right);
        return (bits_[place >> 6] >> (place & 63) & 1) != 0;
    }

    // Whether any rule may.
    bool any(WideChar left, WideChar right) const {
        return whole(left, right) || (partial(left).left & partial(right).right) != 0;
    }

    // Whether `bytes` hold two neighbouring characters that no rule joins.
    bool has_cut(Bytes bytes) const;

  private:
    // The last bytes of a left side and the first bytes of a right side, as a character's three bytes in one
    // number; zeros and no bits in the mask for those that may be any.
    struct Sides {
        std::uint32_t left, left_mask, right, right_mask;
    };

    std::uint32_t place_of(WideChar left, WideChar right) const {
        return ((std::uint32_t{left} << 16 | right) * 0x9e3779b1U) >> shift_;
    }

    unsigned shift_ = 0;
    std::vector<std::uint64_t> bits_;  // a Bloom filter with one hash function
    std::vector<Sides> partials_;
};

}  // namespace bpe
