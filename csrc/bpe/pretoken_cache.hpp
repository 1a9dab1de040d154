// Remembers the ids of short pre-tokens. Words repeat, so most pre-tokens are found here.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "bpe/key16.hpp"
#include "bpe/vocabulary.hpp"

namespace bpe {

// Two entries form a set in one cache line; a look-up touches exactly one line. A new entry takes the first
// place of its set, moves the first entry to the second place and drops the second one: the cache is bounded
// without ever being cleared. It starts small, so that short texts stay in the fastest memory, and grows with
// use up to `max_sets`.
class PretokenCache {
  public:
    static constexpr std::size_t max_ids = 4;

    // Returned by find() for a pre-token with more than max_ids ids, which are not stored here.
    static constexpr std::size_t too_many = 255;

    PretokenCache() : sets_(first_sets) {}

    void prefetch(std::uint64_t hash) const { __builtin_prefetch(&sets_[index(sets_, hash)]); }

    // Writes the ids of `key` to `out`, which has room for max_ids, and returns their number; 0 if unknown.
    std::size_t find(const Key16& key, std::uint64_t hash, TokenId* out) const {
        const Set& set = sets_[index(sets_, hash)];
        const Entry* entry = &set[0];
        if (entry->key != key) {
            entry = &set[1];
            if (entry->key != key) return 0;
        }
        std::memcpy(out, entry->ids, sizeof(entry->ids));
        out[max_ids - 1] &= Vocabulary::max_id;
        return entry->ids[max_ids - 1] >> 24;
    }

    // Remembers the ids of `key`, which find() did not know, or only that they are too many.
    void insert(const Key16& key, std::uint64_t hash, const TokenId* ids, std::size_t count) {
        if (++insertions_ > sets_.size() && sets_.size() < max_sets) grow();
        Entry entry;
        entry.key = key;
        if (count <= max_ids) {
            std::memcpy(entry.ids, ids, count * sizeof(TokenId));
        } else {
            count = too_many;
        }
        entry.ids[max_ids - 1] |= static_cast<TokenId>(count) << 24;
        place(sets_, entry, hash);
    }

  private:
    struct Entry {
        Key16 key;                  // all zero: empty (the key of a real pre-token holds its length)
        TokenId ids[max_ids] = {};  // the highest byte of the last one is the number of ids
    };
    struct alignas(64) Set : std::array<Entry, 2> {};

    static constexpr std::size_t first_sets = std::size_t{1} << 10;
    static constexpr std::size_t max_sets = std::size_t{1} << 18;

    static std::size_t index(const std::vector<Set>& sets, std::uint64_t hash) {
        return static_cast<std::size_t>(hash >> 20) & (sets.size() - 1);
    }

    static void place(std::vector<Set>& sets, const Entry& entry, std::uint64_t hash) {
        Set& set = sets[index(sets, hash)];
        set[1] = set[0];
        set[0] = entry;
    }

    void grow() {
        std::vector<Set> larger(4 * sets_.size());
        for (const Set& set : sets_) {
            for (const Entry* entry : {&set[1], &set[0]}) {  // the newer one last, to stay first
                if (entry->key != Key16{}) place(larger, *entry, entry->key.hash());
            }
        }
        sets_ = std::move(larger);
        insertions_ = 0;
    }

    std::vector<Set> sets_;
    std::size_t insertions_ = 0;
};

}  // namespace bpe
