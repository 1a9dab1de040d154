#include "bpe/stable_tokens.hpp"

#include <cstdint>
#include <limits>

namespace bpe {
namespace {

constexpr std::uint32_t never = std::numeric_limits<std::uint32_t>::max();

// What merging joins last to make a stable token, and when: 0 for a byte, else 1 + the rank of the rule.
struct Parts {
    TokenId left = 0;
    TokenId right = 0;
    std::uint32_t made = never;

    bool known() const { return made != never; }
};

// Whether merging the bytes of two stable tokens joins a symbol that ends at their border to one that begins
// there before `time`, when the two themselves are joined.
bool crossed_before(const Vocabulary& vocabulary, const std::vector<Parts>& parts, TokenId left,
                    TokenId right, std::uint32_t time) {
    // Back in time: the symbols beside the border, and when each is used up on its own side.
    std::uint32_t left_until = time;
    std::uint32_t right_until = time;
    for (;;) {
        const Parts& of_left = parts[left];
        const Parts& of_right = parts[right];
        if (of_left.made > of_right.made) {
            left_until = of_left.made;
            left = of_left.right;
        } else {
            if (of_right.made == 0) return false;
            right_until = of_right.made;
            right = of_right.left;
        }
        const std::uint32_t rank = vocabulary.rank(left, right);
        // At the same time, the left side is merged first.
        if (rank != MergeTable::no_rank && rank + 1 < left_until && rank + 1 <= right_until) return true;
    }
}

}  // namespace

std::vector<TokenId> stable_tokens(const Vocabulary& vocabulary, const std::vector<Merge>& merges) {
    std::vector<Parts> parts(vocabulary.size());
    for (unsigned byte = 0; byte < 256; ++byte) {
        parts[vocabulary.byte_id(static_cast<std::uint8_t>(byte))].made = 0;
    }
    std::vector<bool> is_side(vocabulary.size());
    for (std::uint32_t rank = 0; rank < merges.size(); ++rank) {
        const auto& [left, right, result] = merges[rank];
        is_side[left] = is_side[right] = true;
        if (is_side[result] || parts[result].made == 0) return {};
        if (parts[result].known() || !parts[left].known() || !parts[right].known()) continue;
        if (crossed_before(vocabulary, parts, left, right, rank + 1)) continue;
        parts[result] = {left, right, rank + 1};
    }
    std::vector<TokenId> stable;
    for (TokenId id = 0; id < parts.size(); ++id) {
        if (parts[id].known()) stable.push_back(id);
    }
    return stable;
}

}  // namespace bpe
