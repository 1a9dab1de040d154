#include "bpe/word_table.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace bpe {
namespace {

constexpr std::size_t first_slots = std::size_t{1} << 12;
constexpr std::size_t arena_block = std::size_t{1} << 18;

// Pre-tokens that are cut, then hashed, then looked up together: enough of them for a look-up's memory access
// to be over when its turn comes, few enough to stay in the first-level cache.
constexpr std::size_t batch_size = 256;

unsigned shift_for(std::size_t slots) {
    return 64U - static_cast<unsigned>(std::countr_zero(slots));
}

std::uint64_t hash_long(const std::uint8_t* data, std::size_t length) {
    std::uint64_t hash = length;
    std::uint64_t word = 0;
    for (; length > 8; data += 8, length -= 8) {
        std::memcpy(&word, data, 8);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
        hash ^= hash >> 29;
    }
    word = 0;
    std::memcpy(&word, data, length);
    hash = (hash ^ word) * 0xd6e8feb86659fd93ULL;
    hash ^= hash >> 32;
    return hash * 0xd6e8feb86659fd93ULL;
}

}  // namespace

WordTable::WordTable()
    : short_(first_slots),
      long_(first_slots),
      short_shift_(shift_for(first_slots)),
      long_shift_(short_shift_) {}

void WordTable::count(Bytes text, Pattern pattern, const Progress& progress) {
    std::array<const std::uint8_t*, batch_size + 1> cuts;
    std::array<Key16, batch_size> keys;
    std::array<std::uint64_t, batch_size> hashes;
    const std::uint8_t* const end = text.data() + text.size();
    cuts[0] = text.data();
    while (cuts[0] != end && !progress.cancelled.load(std::memory_order_relaxed)) {
        const std::size_t words = pretokenize(pattern, cuts[0], end, &cuts[1], batch_size);
        reserve_short(words);
        for (std::size_t i = 0; i < words; ++i) {
            const auto length = static_cast<std::size_t>(cuts[i + 1] - cuts[i]);
            if (length <= Key16::max_length) {
                keys[i] = Key16::load(cuts[i], length, end);
                hashes[i] = keys[i].hash();
                __builtin_prefetch(&short_[static_cast<std::size_t>(hashes[i] >> short_shift_)], 1);
            } else {
                keys[i] = Key16{};
                hashes[i] = hash_long(cuts[i], length);
                __builtin_prefetch(&long_[static_cast<std::size_t>(hashes[i] >> long_shift_)], 1);
            }
        }
        for (std::size_t i = 0; i < words; ++i) {
            if (keys[i].high != 0) {  // holds the length of a short word
                ++find_short(keys[i], hashes[i]).count;
            } else {
                add_long({cuts[i], cuts[i + 1]}, hashes[i], 1, true);
            }
        }
        cuts[0] = cuts[words];
    }
}

void WordTable::add(Bytes word, std::uint64_t count) {
    if (word.empty() || count == 0) return;
    if (word.size() > Key16::max_length) {
        add_long(word, hash_long(word.data(), word.size()), count, true);
        return;
    }
    reserve_short(1);
    const Key16 key = Key16::load(word.data(), word.size(), word.data() + word.size());
    find_short(key, key.hash()).count += count;
}

void WordTable::absorb(WordTable&& other) {
    for (const ShortSlot& slot : other.short_) {
        if (slot.count == 0) continue;
        reserve_short(1);
        find_short(slot.key, slot.key.hash()).count += slot.count;
    }
    for (const LongSlot& slot : other.long_) {
        if (slot.count != 0) add_long({slot.data, slot.length}, slot.hash, slot.count, false);
    }
    std::move(other.arena_.begin(), other.arena_.end(), std::back_inserter(arena_));
    other = WordTable();
}

// The slot of `key`, taken into use if need be: the caller raises its count.
WordTable::ShortSlot& WordTable::find_short(const Key16& key, std::uint64_t hash) {
    std::size_t place = static_cast<std::size_t>(hash >> short_shift_);
    while (true) {
        ShortSlot& slot = short_[place];
        if (slot.key == key) return slot;
        if (slot.count == 0) {
            slot.key = key;
            ++short_used_;
            return slot;
        }
        place = (place + 1) & (short_.size() - 1);
    }
}

void WordTable::add_long(Bytes word, std::uint64_t hash, std::uint64_t count, bool copy) {
    reserve_long(1);
    std::size_t place = static_cast<std::size_t>(hash >> long_shift_);
    while (true) {
        LongSlot& slot = long_[place];
        if (slot.count == 0) {
            slot = {copy ? keep(word) : word.data(), word.size(), hash, count};
            ++long_used_;
            return;
        }
        if (slot.hash == hash && slot.length == word.size() &&
            std::memcmp(slot.data, word.data(), word.size()) == 0) {
            slot.count += count;
            return;
        }
        place = (place + 1) & (long_.size() - 1);
    }
}

void WordTable::reserve_short(std::size_t more) {
    if (2 * (short_used_ + more) <= short_.size()) return;
    HugeArray<ShortSlot> old(4 * short_.size());
    std::swap(old, short_);
    short_shift_ = shift_for(short_.size());
    for (const ShortSlot& slot : old) {
        if (slot.count == 0) continue;
        std::size_t place = static_cast<std::size_t>(slot.key.hash() >> short_shift_);
        while (short_[place].count != 0) place = (place + 1) & (short_.size() - 1);
        short_[place] = slot;
    }
}

void WordTable::reserve_long(std::size_t more) {
    if (2 * (long_used_ + more) <= long_.size()) return;
    HugeArray<LongSlot> old(4 * long_.size());
    std::swap(old, long_);
    long_shift_ = shift_for(long_.size());
    for (const LongSlot& slot : old) {
        if (slot.count == 0) continue;
        std::size_t place = static_cast<std::size_t>(slot.hash >> long_shift_);
        while (long_[place].count != 0) place = (place + 1) & (long_.size() - 1);
        long_[place] = slot;
    }
}

const std::uint8_t* WordTable::keep(Bytes word) {
    if (word.size() > arena_left_) {
        const std::size_t size = std::max(arena_block, word.size());
        arena_.push_back(std::make_unique_for_overwrite<std::uint8_t[]>(size));
        arena_next_ = arena_.back().get();
        arena_left_ = size;
    }
    std::uint8_t* const place = arena_next_;
    std::memcpy(place, word.data(), word.size());
    arena_next_ += word.size();
    arena_left_ -= word.size();
    return place;
}

}  // namespace bpe
