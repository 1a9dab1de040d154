#include "bpe/ranks.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <limits>

#include "bpe/hash.hpp"

namespace bpe {

namespace {

constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

// Rank of a byte string. Pairs of bytes, more than half of all questions, go through a table that stays in
// the cache. Longer strings go through an open-addressing table with half of the hash beside each rank: most
// questions are about strings that are no token, and those are answered without touching any token's bytes.
class Ranks {
  public:
    explicit Ranks(std::span<const std::string_view> tokens)
        : tokens_(tokens), byte_pairs_(1 << 16, kNone), slots_(std::bit_ceil(2 * tokens.size() + 1)) {
        for (std::uint32_t rank = 0; rank < tokens.size(); ++rank) {
            if (tokens[rank].size() == 2) {
                byte_pairs_[pair_index(tokens[rank])] = rank;
            } else {
                const std::uint64_t hash = hash_bytes(as_bytes(tokens[rank]));
                std::size_t slot = hash & (slots_.size() - 1);
                while (slots_[slot].rank != kNone) slot = (slot + 1) & (slots_.size() - 1);
                slots_[slot] = {static_cast<std::uint32_t>(hash >> 32), rank};
            }
        }
    }

    std::uint32_t operator()(std::string_view bytes) const {
        if (bytes.size() == 2) return byte_pairs_[pair_index(bytes)];
        const std::uint64_t hash = hash_bytes(as_bytes(bytes));
        for (std::size_t slot = hash & (slots_.size() - 1);; slot = (slot + 1) & (slots_.size() - 1)) {
            const Slot& found = slots_[slot];
            if (found.rank == kNone) return kNone;
            if (found.tag == hash >> 32 && tokens_[found.rank] == bytes) return found.rank;
        }
    }

  private:
    struct Slot {
        std::uint32_t tag = 0;
        std::uint32_t rank = kNone;
    };

    static std::size_t pair_index(std::string_view bytes) {
        return static_cast<std::size_t>(static_cast<unsigned char>(bytes[0])) << 8 |
               static_cast<unsigned char>(bytes[1]);
    }

    std::span<const std::string_view> tokens_;
    std::vector<std::uint32_t> byte_pairs_;
    std::vector<Slot> slots_;
};

// One part of a token while its bytes are merged, and the rank of joining it with the part to its right.
struct Part {
    std::size_t begin;
    std::uint32_t join_rank;
};

// Merges the bytes of `token` with ranks below `limit` until none applies. Tokens are short, so that looking
// for the lowest rank again after each merge is cheaper than a heap. The last part is the end of the token.
void merge_below(std::string_view token, std::uint32_t limit, const Ranks& ranks, std::vector<Part>& parts) {
    parts.clear();
    for (std::size_t i = 0; i <= token.size(); ++i) {
        parts.push_back({i, i + 2 <= token.size() ? ranks(token.substr(i, 2)) : kNone});
    }
    const auto join_rank = [&](std::size_t i) {
        return i + 2 < parts.size() ? ranks(token.substr(parts[i].begin, parts[i + 2].begin - parts[i].begin))
                                    : kNone;
    };
    for (;;) {
        const auto lowest = std::ranges::min_element(parts, {}, &Part::join_rank);
        if (lowest->join_rank >= limit) {
            return;
        }
        const auto i = static_cast<std::size_t>(lowest - parts.begin());
        parts.erase(lowest + 1);
        parts[i].join_rank = join_rank(i);
        if (i > 0) {
            parts[i - 1].join_rank = join_rank(i - 1);
        }
    }
}

}  // namespace

std::vector<std::pair<std::uint32_t, std::uint32_t>> recover_merges(
    std::span<const std::string_view> tokens) {
    const Ranks ranks(tokens);
    std::vector<std::pair<std::uint32_t, std::uint32_t>> merges;
    merges.reserve(tokens.size());
    std::vector<Part> parts;
    for (std::uint32_t rank = 0; rank < tokens.size(); ++rank) {
        const std::string_view token = tokens[rank];
        if (token.size() < 2) {
            continue;
        }
        merge_below(token, rank, ranks, parts);
        if (parts.size() == 3) {
            merges.emplace_back(ranks(token.substr(0, parts[1].begin)), ranks(token.substr(parts[1].begin)));
        }
    }
    return merges;
}

}  // namespace bpe
