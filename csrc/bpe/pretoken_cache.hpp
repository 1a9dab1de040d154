// Remembers the ids of short pre-tokens. Text repeats its words, so that most pre-tokens are found here.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "bpe/key16.hpp"
#include "bpe/vocabulary.hpp"

namespace bpe {

// Two entries share a cache line and form a set; a look-up touches exactly one line. A new entry takes the
// first place of its set and moves the other one to the second, so what is not asked for any more falls out:
// the cache is bounded without ever being cleared. It starts small (short texts stay in the fastest memory)
// and grows with use up to `max_sets`.
class PretokenCache {
  public:
    static constexpr std::size_t max_ids = 4;

    // What find() returns for a pre-token with more than max_ids ids: they are not here.
    static constexpr std::size_t too_many = 255;

    PretokenCache() : sets_(first_sets) {}

    void prefetch(std::uint64_t hash) const { __builtin_prefetch(&sets_[index(hash)]); }

    // Writes the ids of `key` to `out`, which has room for max_ids, and returns how many they are; 0 if
    // unknown.
    std::size_t find(const Key16& key, std::uint64_t hash, TokenId* out) const {
        const Set& set = sets_[index(hash)];
        const Entry* entry = &set[0];
        if (entry->key != key) {
            entry = &set[1];
            if (entry->key != key) return 0;
        }
        std::memcpy(out, entry->ids, sizeof(entry->ids));
        out[max_ids - 1] &= Vocabulary::max_id;
        return entry->ids[max_ids - 1] >> 24;
    }

    // Remembers the ids of `key`, which find() did not know, or that they are too many.
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
        TokenId ids[max_ids] = {};  // the number of ids is in the last one's highest byte
    };
    struct alignas(64) Set : std::array<Entry, 2> {};

    static constexpr std::size_t first_sets = std::size_t{1} << 10;
    static constexpr std::size_t max_sets = std::size_t{1} << 18;

    std::size_t index(std::uint64_t hash) const {
        return static_cast<std::size_t>(hash >> 20) & (sets_.size() - 1);
    }

    void place(std::vector<Set>& sets, const Entry& entry, std::uint64_t hash) const {
        Set& set = sets[static_cast<std::size_t>(hash >> 20) & (sets.size() - 1)];
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
