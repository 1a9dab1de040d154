// A hash table from words to counts for text, where most words are short and most look-ups succeed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "bpe/bytes.hpp"
#include "bpe/huge_array.hpp"
#include "bpe/key16.hpp"
#include "bpe/parallel.hpp"
#include "bpe/pretokenize.hpp"

namespace bpe {

// Words of up to 15 bytes are stored in the slots themselves, longer ones in an arena. The upper bits of a
// hash choose the slot, so that adding all words of one table to another goes through both from front to
// back.
class WordTable {
  public:
    WordTable();

    // Counts the pre-tokens of `text`. Stops between two batches of words when the job is cancelled.
    void count(Bytes text, Pattern pattern, const Progress& progress);

    void add(Bytes word, std::uint64_t count);

    // Moves everything from `other` to this table.
    void absorb(WordTable&& other);

    std::size_t distinct() const { return short_used_ + long_used_; }

    // visit(const std::uint8_t* word, std::size_t length, std::uint64_t count) -> bool for every distinct
    // word, always in the same order, until it returns false.
    template <class Visit>
    void for_each(Visit&& visit) const {
        for (const ShortSlot& slot : short_) {
            if (slot.count == 0) continue;
            std::uint8_t bytes[sizeof(Key16)];
            std::memcpy(bytes, &slot.key, sizeof(bytes));
            if (!visit(static_cast<const std::uint8_t*>(bytes), std::size_t{bytes[Key16::max_length]},
                       slot.count)) {
                return;
            }
        }
        for (const LongSlot& slot : long_) {
            if (slot.count != 0 && !visit(slot.data, slot.length, slot.count)) return;
        }
    }

  private:
    struct ShortSlot {
        Key16 key;
        std::uint64_t count;  // 0: the slot is free
    };
    struct LongSlot {
        const std::uint8_t* data;
        std::size_t length;
        std::uint64_t hash;
        std::uint64_t count;  // 0: the slot is free
    };

    void reserve_short(std::size_t more);
    void reserve_long(std::size_t more);
    ShortSlot& find_short(const Key16& key, std::uint64_t hash);
    void add_long(Bytes word, std::uint64_t hash, std::uint64_t count, bool copy);
    const std::uint8_t* keep(Bytes word);

    HugeArray<ShortSlot> short_;
    HugeArray<LongSlot> long_;
    unsigned short_shift_;  // hash >> shift is the place of a key
    unsigned long_shift_;
    std::size_t short_used_ = 0;
    std::size_t long_used_ = 0;

    std::vector<std::unique_ptr<std::uint8_t[]>> arena_;
    std::uint8_t* arena_next_ = nullptr;
    std::size_t arena_left_ = 0;
};

}  // namespace bpe
