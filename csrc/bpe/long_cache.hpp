// Remembers the ids of pre-tokens that PretokenCache cannot hold: long ones, and those with many ids.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "bpe/bytes.hpp"
#include "bpe/id_buffer.hpp"
#include "bpe/vocabulary.hpp"

namespace bpe {

// One entry per slot; a new entry replaces the old one. Texts and ids lie in an arena. When the arena is
// full, the whole cache is cleared: that bounds the memory and needs no bookkeeping.
class LongCache {
  public:
    static constexpr std::size_t max_length = 255;  // longer pre-tokens rarely occur twice

    // If `pretoken` is known, appends its ids and returns true.
    bool find(Bytes pretoken, std::uint64_t hash, IdBuffer& ids) const {
        if (slots_.empty()) return false;
        const Slot& slot = slots_[index(hash)];
        if (slot.hash != hash || slot.length != pretoken.size()) return false;
        const std::uint8_t* const entry = arena_.data() + slot.offset;
        if (std::memcmp(entry + slot.count * sizeof(TokenId), pretoken.data(), pretoken.size()) != 0)
            return false;
        ids.reserve_more(slot.count);
        std::memcpy(ids.end(), entry, slot.count * sizeof(TokenId));
        ids.advance(slot.count);
        return true;
    }

    // Remembers that `pretoken` (not empty, at most max_length bytes) becomes `count` ids.
    void insert(Bytes pretoken, std::uint64_t hash, const TokenId* ids, std::size_t count) {
        const std::size_t bytes = count * sizeof(TokenId) + pretoken.size();
        if (arena_.size() + bytes > max_arena) {
            arena_.clear();
            slots_.clear();
        }
        if (slots_.empty()) slots_.resize(num_slots);
        slots_[index(hash)] = {hash, static_cast<std::uint32_t>(arena_.size()),
                               static_cast<std::uint16_t>(pretoken.size()),
                               static_cast<std::uint16_t>(count)};
        const auto* const id_bytes = reinterpret_cast<const std::uint8_t*>(ids);
        arena_.insert(arena_.end(), id_bytes, id_bytes + count * sizeof(TokenId));
        arena_.insert(arena_.end(), pretoken.begin(), pretoken.end());
    }

  private:
    static constexpr std::size_t num_slots = std::size_t{1} << 17;
    static constexpr std::size_t max_arena = std::size_t{16} << 20;

    struct Slot {
        std::uint64_t hash = 0;
        std::uint32_t offset = 0;
        std::uint16_t length = 0;  // 0: empty
        std::uint16_t count = 0;
    };

    static std::size_t index(std::uint64_t hash) {
        return static_cast<std::size_t>(hash >> 40) & (num_slots - 1);
    }

    std::vector<Slot> slots_;
    std::vector<std::uint8_t> arena_;
};

}  // namespace bpe
