// Remembers the ids of short pre-tokens. Words repeat, so most pre-tokens are found here.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "bpe/huge_array.hpp"
#include "bpe/key16.hpp"
#include "bpe/vocabulary.hpp"

namespace bpe {

// A hash table of cache lines, each a set of two entries; the search goes on in the next line where both are
// others. Most words are found in the first line, and frequent words, which come early, nearly always. At
// most half of the entries are used: the table starts with room for twice what it is to hold, grows with use
// up to `max_sets` (16 MiB), and is then emptied to start again. The few pre-tokens with more ids than an
// entry holds have them in an array beside the table (at most 16 MiB).
class PretokenCache {
    struct Entry;
    struct Set;

  public:
    // find() may write as many ids as this.
    static constexpr std::size_t max_ids = Key16::max_length;
    static constexpr std::size_t ids_inside = 4;  // of an entry
    // With more keys, it is emptied.
    static constexpr std::size_t max_keys = std::size_t{1} << 18;

    // The cache as it is now, to be copied into registers: valid until insert().
    class View {
      public:
        explicit View(const PretokenCache& cache)
            : sets_(cache.sets_.data()), last_(cache.sets_.size() - 1), many_(cache.many_.data()) {}

        // Where the search begins, in bytes from the first line: for views of the same size.
        std::uint32_t home_of(std::uint64_t hash) const {
            return static_cast<std::uint32_t>(hash >> (home_shift - set_bits) & last_ << set_bits);
        }
        void prefetch(std::uint32_t place) const { __builtin_prefetch(at(place)); }
        std::size_t size() const { return last_ + 1; }

        // As find(), but looks only where the search begins, and does not copy more than ids_inside ids: 0 or
        // a greater number says that find() is needed. Without a branch; writes ids_inside ids in any case.
        std::size_t try_home(const Key16& key, std::uint32_t place, TokenId* out) const;

        // Writes the ids of `key` to `out`, which has room for max_ids, and returns their number; 0 if
        // unknown.
        std::size_t find(const Key16& key, std::uint64_t hash, TokenId* out) const;

      private:
        const Set* at(std::uint32_t place) const {
            return reinterpret_cast<const Set*>(reinterpret_cast<const std::byte*>(sets_) + place);
        }

        const Set* sets_;
        std::size_t last_;
        const TokenId* many_;
    };

    PretokenCache() : PretokenCache(0) {}

    // With room for twice as many keys before it grows.
    explicit PretokenCache(std::size_t expected)
        : sets_(std::clamp(std::bit_ceil(2 * expected), first_sets, max_sets)) {}

    // Remembers the ids of `key`, which find() did not know.
    void insert(const Key16& key, std::uint64_t hash, const TokenId* ids, std::size_t count) {
        if (++used_ > sets_.size()) make_room();
        Entry entry;
        entry.key = key;
        if (count <= ids_inside) {
            std::memcpy(entry.ids, ids, count * sizeof(TokenId));
        } else {
            entry.ids[0] = static_cast<TokenId>(many_.size());
            many_.insert(many_.end(), ids, ids + count);
        }
        entry.ids[ids_inside - 1] |= static_cast<TokenId>(count) << 24;
        place(entry, hash);
    }

    // Remembers the id of a `key` that find() did not know and that may never be looked up.
    void insert_seed(const Key16& key, std::uint64_t hash, TokenId id) {
        if (++used_ > sets_.size()) make_room();
        place({key, {id, 0, 0, seed}}, hash);
    }

  private:
    struct Entry {
        Key16 key;  // all zero: unused (the key of a real pre-token holds its length)
        // The highest byte of the last one is the number of ids. If it is more than ids_inside, the first one
        // is the place of all ids in many_.
        TokenId ids[ids_inside] = {};

        bool unused() const { return key.high == 0; }
        bool is_seed() const { return ids[ids_inside - 1] == seed; }
    };
    // One id, and a mark where a fourth would be.
    static constexpr TokenId seed = (TokenId{1} << 24) + 1;
    struct alignas(64) Set : std::array<Entry, 2> {};
    // Where the number of ids is in a word that holds the last two of an entry.
    static constexpr unsigned count_shift = std::endian::native == std::endian::little ? 56 : 24;

    static constexpr unsigned set_bits = 6;
    static_assert(sizeof(Set) == std::size_t{1} << set_bits);
    // The bits of a hash from this one on say where its search begins.
    static constexpr unsigned home_shift = 20;

    static constexpr std::size_t first_sets = std::size_t{1} << 10;
    static constexpr std::size_t max_sets = max_keys;

    static std::size_t home(std::uint64_t hash, std::size_t last) {
        return static_cast<std::size_t>(hash >> home_shift) & last;
    }

    void place(Entry entry, std::uint64_t hash) {
        const std::size_t last = sets_.size() - 1;
        // A word of the text before one that may not occur in it: further lines are slow. The latter may have
        // begun its search in an earlier line, but all lines from there on are full.
        Entry& second = sets_[home(hash, last)][1];
        if (second.is_seed() && !entry.is_seed()) std::swap(second, entry);
        for (std::size_t at = home(hash, last);; at = (at + 1) & last) {
            for (Entry& free : sets_[at]) {
                if (!free.unused()) continue;
                free = entry;
                return;
            }
        }
    }

    void make_room() {
        const bool full = sets_.size() == max_sets;
        HugeArray<Set> old(full ? first_sets : 2 * sets_.size());
        std::swap(old, sets_);
        if (full) {
            many_.clear();
            used_ = 1;  // the entry that is about to be inserted
            return;
        }
        for (const Set& set : old) {
            for (const Entry& entry : set) {
                if (!entry.unused()) place(entry, entry.key.hash());
            }
        }
    }

    HugeArray<Set> sets_;
    std::vector<TokenId> many_;
    std::size_t used_ = 0;
};

inline std::size_t PretokenCache::View::try_home(const Key16& key, std::uint32_t place, TokenId* out) const {
    const Set& set = *at(place);
    const bool is_first = set[0].key.difference(key) == 0;
    const bool is_second = set[1].key.difference(key) == 0;
    // Two words of two ids each, chosen with conditional moves.
    std::uint64_t ids[2];
    std::uint64_t second[2];
    std::memcpy(ids, set[0].ids, sizeof ids);
    std::memcpy(second, set[1].ids, sizeof second);
    second[1] = is_second ? second[1] : 0;
    ids[0] = is_first ? ids[0] : second[0];
    ids[1] = is_first ? ids[1] : second[1];
    const std::uint64_t count = ids[1] >> count_shift & 0xff;
    ids[1] &= ~(std::uint64_t{0xff} << count_shift);
    std::memcpy(out, ids, sizeof ids);
    return count;
}

inline std::size_t PretokenCache::View::find(const Key16& key, std::uint64_t hash, TokenId* out) const {
    for (std::size_t at = home(hash, last_);; at = (at + 1) & last_) {
        const Set& set = sets_[at];
        const std::uint64_t first = set[0].key.difference(key);
        const std::uint64_t second = set[1].key.difference(key);
        if (first == 0 || second == 0) [[likely]] {
            const Entry& entry = set[first != 0];  // no branch: which one it is cannot be predicted
            const std::size_t count = entry.ids[ids_inside - 1] >> 24;
            if (count <= ids_inside) [[likely]] {
                std::memcpy(out, entry.ids, sizeof(entry.ids));
                out[ids_inside - 1] &= Vocabulary::max_id;
            } else {
                std::memcpy(out, many_ + entry.ids[0], count * sizeof(TokenId));
            }
            return count;
        }
        if (set[1].unused()) return 0;
    }
}

}  // namespace bpe
