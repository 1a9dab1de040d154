#include "bpe/wide_joins.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>
#include <utility>

#include "bpe/vocabulary.hpp"

namespace bpe {
namespace {

// Bits in the filter for each pair in it: one in 16 of all other pairs is taken for one.
constexpr std::size_t bits_per_pair = 16;
constexpr std::size_t fewest_bits = std::size_t{1} << 16;

// Whether a text whose last character has three bytes can end in `side`.
bool can_end_in(Bytes side) {
    const std::size_t size = std::min(side.size(), wide_bytes);
    const std::uint8_t* const last = side.data() + side.size() - size;
    if (size == wide_bytes && !leads_wide(last[0])) return false;
    return std::all_of(last + (size == wide_bytes), last + size, continues);
}

// Whether a text whose first character has three bytes can begin with `side`.
bool can_begin_with(Bytes side) {
    const std::size_t size = std::min(side.size(), wide_bytes);
    return leads_wide(side[0]) && std::all_of(side.data() + 1, side.data() + size, continues);
}

}  // namespace

WideJoins::WideJoins(const Vocabulary& vocabulary, const std::vector<Merge>& merges) {
    std::vector<std::pair<WideChar, WideChar>> pairs;
    for (const Merge& merge : merges) {
        // Most rules are told by their result; the results lie one after the other in memory.
        const std::string_view result = vocabulary.bytes(merge.result);
        if (std::none_of(result.begin(), result.end(),
                         [](char byte) { return leads_wide(static_cast<std::uint8_t>(byte)); }))
            continue;
        const Bytes left = as_bytes(vocabulary.bytes(merge.left));
        const Bytes right = as_bytes(vocabulary.bytes(merge.right));
        if (left.empty() || right.empty() || !can_end_in(left) || !can_begin_with(right)) continue;
        if (left.size() >= wide_bytes && right.size() >= wide_bytes) {
            pairs.emplace_back(wide_code(left.data() + left.size() - wide_bytes), wide_code(right.data()));
            continue;
        }
        Sides sides{};
        for (std::size_t k = 0; k < wide_bytes; ++k) {
            const unsigned shift = 8 * static_cast<unsigned>(wide_bytes - 1 - k);
            if (k < right.size()) {
                sides.right |= std::uint32_t{right[k]} << shift;
                sides.right_mask |= 0xffU << shift;
            }
            if (wide_bytes - k <= left.size()) {
                sides.left |= std::uint32_t{left[left.size() - (wide_bytes - k)]} << shift;
                sides.left_mask |= 0xffU << shift;
            }
        }
        partials_.push_back(sides);
    }
    std::ranges::sort(pairs);
    pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
    const std::size_t num_bits = std::max(fewest_bits, std::bit_ceil(bits_per_pair * pairs.size()));
    shift_ = 32U - static_cast<unsigned>(std::countr_zero(num_bits));
    bits_.resize(num_bits / 64);
    for (const auto& [left, right] : pairs) {
        const std::uint32_t place = place_of(left, right);
        bits_[place >> 6] |= std::uint64_t{1} << (place & 63);
    }
}

WideJoins::Partial WideJoins::partial(WideChar character) const {
    const WideBytes own(character);
    const std::uint32_t value =
        std::uint32_t{own.bytes[0]} << 16 | std::uint32_t{own.bytes[1]} << 8 | own.bytes[2];
    Partial result;
    unsigned bit = 1;
    for (const Sides& sides : partials_) {
        if ((value & sides.left_mask) == sides.left) result.left |= static_cast<std::uint16_t>(bit);
        if ((value & sides.right_mask) == sides.right) result.right |= static_cast<std::uint16_t>(bit);
        bit = bit == 1U << (partial_bits - 1) ? 1 : bit << 1;
    }
    return result;
}

bool WideJoins::has_cut(Bytes bytes) const {
    const std::uint8_t* const end = bytes.data() + bytes.size();
    for (const std::uint8_t* at = bytes.data(); at < end; ++at) {
        const auto left = wide_char_at(at, end);
        if (!left) continue;
        const auto right = wide_char_at(at + wide_bytes, end);
        if (right && !any(*left, *right)) return true;
    }
    return false;
}

}  // namespace bpe
