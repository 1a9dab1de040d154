#include "bpe/ranks.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <limits>

#include "bpe/hash.hpp"
#include "bpe/hash_table.hpp"

namespace bpe {

namespace {

constexpr std::uint32_t no_rank = std::numeric_limits<std::uint32_t>::max();

// The ranks of byte strings. Pairs of bytes, more than half of all look-ups, have a direct table that stays
// in the cache. Other strings have a hash table with half of the hash beside each rank: most look-ups are for
// strings that are not tokens, and these need not read the bytes of any token.
class Ranks {
  public:
    explicit Ranks(std::span<const std::string_view> tokens)
        : tokens_(tokens), byte_pairs_(1 << 16, no_rank), slots_(std::bit_ceil(2 * tokens.size() + 1)) {
        for (std::uint32_t rank = 0; rank < tokens.size(); ++rank) {
            if (tokens[rank].size() == 2) {
                byte_pairs_[pair_index(tokens[rank])] = rank;
            } else {
                const std::uint64_t hash = hash_bytes(as_bytes(tokens[rank]));
                Slot& free = probe(slots_, hash & (slots_.size() - 1),
                                   [](const Slot& slot) { return slot.rank == no_rank; });
                free = {static_cast<std::uint32_t>(hash >> 32), rank};
            }
        }
    }

    std::uint32_t operator()(std::string_view bytes) const {
        if (bytes.size() == 2) return byte_pairs_[pair_index(bytes)];
        const std::uint64_t hash = hash_bytes(as_bytes(bytes));
        const Slot& found = probe(slots_, hash & (slots_.size() - 1), [&](const Slot& slot) {
            return slot.rank == no_rank || (slot.tag == hash >> 32 && tokens_[slot.rank] == bytes);
        });
        return found.rank;  // an unused slot holds the rank of strings that are not tokens
    }

  private:
    struct Slot {
        std::uint32_t tag = 0;
        std::uint32_t rank = no_rank;
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

// Merges the bytes of `token` until two parts or no merge is left. Tokens are short, so searching for the
// lowest rank again after each merge is cheaper than a heap. The last part is the end of the token.
void merge_to_two(std::string_view token, const Ranks& ranks, std::vector<Part>& parts) {
    parts.clear();
    for (std::size_t i = 0; i <= token.size(); ++i) {
        parts.push_back({i, i + 2 <= token.size() ? ranks(token.substr(i, 2)) : no_rank});
    }
    const auto join_rank = [&](std::size_t i) {
        return i + 2 < parts.size() ? ranks(token.substr(parts[i].begin, parts[i + 2].begin - parts[i].begin))
                                    : no_rank;
    };
    while (parts.size() > 3) {
        const auto lowest = std::ranges::min_element(parts, {}, &Part::join_rank);
        if (lowest->join_rank == no_rank) {
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
    for (const std::string_view token : tokens) {
        if (token.size() < 2) {
            continue;
        }
        merge_to_two(token, ranks, parts);
        if (parts.size() == 3) {
            merges.emplace_back(ranks(token.substr(0, parts[1].begin)), ranks(token.substr(parts[1].begin)));
        }
    }
    return merges;
}

}  // namespace bpe
