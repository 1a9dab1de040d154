// Remembers the ids of texts that are too long for PretokenCache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "bpe/bytes.hpp"
#include "bpe/hash_table.hpp"
#include "bpe/id_buffer.hpp"
#include "bpe/vocabulary.hpp"

namespace bpe {

// Texts and ids lie in an arena, found through a hash table of at most half full slots. When the arena (16
// MiB) or the table (4 MiB) has reached its largest size, everything is forgotten: that bounds the memory and
// needs no bookkeeping.
class LongCache {
  public:
    static constexpr std::size_t max_length = 255;  // longer pre-tokens rarely occur twice

    // If `text` is known with this hash, appends its ids and returns true. The same text with two hashes can
    // have two values.
    bool find(Bytes text, std::uint64_t hash, IdBuffer& ids) const {
        const Slot& slot = probe(slots_, index(hash), [&](const Slot& other) {
            return other.length == 0 || (other.hash == hash && other.length == text.size() &&
                                         std::memcmp(text_of(other), text.data(), text.size()) == 0);
        });
        if (slot.length == 0) return false;
        ids.reserve_more(slot.count);
        std::memcpy(ids.end(), arena_.data() + slot.offset, slot.count * sizeof(TokenId));
        ids.advance(slot.count);
        return true;
    }

    // Remembers that `text` (not empty, at most max_length bytes), which find() did not know, becomes `count`
    // ids.
    void insert(Bytes text, std::uint64_t hash, const TokenId* ids, std::size_t count) {
        const std::size_t bytes = count * sizeof(TokenId) + text.size();
        if (arena_.size() + bytes > max_arena) clear();
        if (2 * ++used_ > slots_.size()) make_room();
        place({hash, static_cast<std::uint32_t>(arena_.size()), static_cast<std::uint8_t>(text.size()),
               static_cast<std::uint8_t>(count)});
        const auto* const id_bytes = reinterpret_cast<const std::uint8_t*>(ids);
        arena_.insert(arena_.end(), id_bytes, id_bytes + count * sizeof(TokenId));
        arena_.insert(arena_.end(), text.begin(), text.end());
    }

  private:
    static constexpr std::size_t first_slots = std::size_t{1} << 8;
    static constexpr std::size_t max_slots = std::size_t{1} << 18;
    static constexpr std::size_t max_arena = std::size_t{16} << 20;

    struct Slot {
        std::uint64_t hash = 0;
        std::uint32_t offset = 0;  // of the ids, which the text follows
        std::uint8_t length = 0;   // of the text; 0: unused
        std::uint8_t count = 0;    // at most one id per byte
    };

    std::size_t index(std::uint64_t hash) const {
        return static_cast<std::size_t>(hash >> 40) & (slots_.size() - 1);
    }

    const std::uint8_t* text_of(const Slot& slot) const {
        return arena_.data() + slot.offset + slot.count * sizeof(TokenId);
    }

    void place(const Slot& slot) {
        probe(slots_, index(slot.hash), [](const Slot& other) { return other.length == 0; }) = slot;
    }

    void clear() {
        slots_.assign(first_slots, {});
        arena_.clear();
        used_ = 0;
    }

    void make_room() {
        if (slots_.size() == max_slots) {
            clear();
            used_ = 1;  // the entry that is about to be inserted
            return;
        }
        std::vector<Slot> old(2 * slots_.size());
        std::swap(old, slots_);
        for (const Slot& slot : old) {
            if (slot.length != 0) place(slot);
        }
    }

    std::vector<Slot> slots_ = std::vector<Slot>(first_slots);
    std::vector<std::uint8_t> arena_;
    std::size_t used_ = 0;
};

}  // namespace bpe
