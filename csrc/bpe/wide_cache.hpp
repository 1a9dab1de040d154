// The ids of single characters of three bytes, and which neighbours they may merge with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "bpe/huge_array.hpp"
#include "bpe/id_buffer.hpp"
#include "bpe/merge.hpp"
#include "bpe/vocabulary.hpp"
#include "bpe/wide_char.hpp"
#include "bpe/wide_joins.hpp"

namespace bpe {

// A table with one entry of 16 bytes for every such character, found by its code: no key is compared. Entries
// are filled when they are first needed; of its 1 MiB, only pages with such entries take memory.
class WideCache {
  public:
    struct Entry {
        TokenId ids[wide_bytes];
        std::uint32_t packed;  // the number of ids, and the bits of WideJoins::Partial; 0: not yet known

        std::size_t count() const { return packed & 3; }
        bool may_join(const Entry& next) const {
            return ((packed >> 2) & (next.packed >> (2 + WideJoins::partial_bits))) != 0;
        }
    };

    WideCache() : entries_(num_wide_chars) {}

    const Entry& at(WideChar character, const Vocabulary& vocabulary, const WideJoins& joins,
                    Merger& merger) {
        Entry& entry = entries_[character];
        if (entry.packed == 0) [[unlikely]]
            fill(entry, character, vocabulary, joins, merger);
        return entry;
    }

  private:
    static_assert(2 + 2 * WideJoins::partial_bits == 32);

    void fill(Entry& entry, WideChar character, const Vocabulary& vocabulary, const WideJoins& joins,
              Merger& merger) {
        ids_.clear();
        merger.merge(vocabulary, WideBytes(character).bytes, ids_);
        std::memcpy(entry.ids, ids_.data(), ids_.size() * sizeof(TokenId));
        const WideJoins::Partial partial = joins.partial(character);
        entry.packed = static_cast<std::uint32_t>(ids_.size()) | std::uint32_t{partial.left} << 2 |
                       std::uint32_t{partial.right} << (2 + WideJoins::partial_bits);
    }

    HugeArray<Entry> entries_;
    IdBuffer ids_;  // scratch
};

}  // namespace bpe
