#include "bpe/word_table.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <utility>

#include "bpe/hash.hpp"
#include "bpe/hash_table.hpp"

namespace bpe {
namespace {

constexpr std::size_t first_slots = std::size_t{1} << 12;
constexpr std::size_t arena_block = std::size_t{1} << 18;

// Pre-tokens that are cut, then hashed and prefetched, then looked up together: enough of them that the
// prefetch of each is complete at its look-up, few enough to stay in the first-level cache.
constexpr std::size_t batch_size = 256;

// Quadruples the slots.
template <class Slot, class Hash>
void enlarge(HugeArray<Slot>& slots, unsigned& shift, const Hash& hash_of) {
    HugeArray<Slot> old(4 * slots.size());
    std::swap(old, slots);
    shift = shift_for(slots.size());
    for (const Slot& slot : old) {
        if (slot.count == 0) continue;
        probe(slots, static_cast<std::size_t>(hash_of(slot) >> shift),
              [](const Slot& other) { return other.count == 0; }) = slot;
    }
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
                hashes[i] = hash_bytes({cuts[i], length});
                __builtin_prefetch(&long_[static_cast<std::size_t>(hashes[i] >> long_shift_)], 1);
            }
        }
        for (std::size_t i = 0; i < words; ++i) {
            if (keys[i].high != 0) {  // contains the length of a short word
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
        add_long(word, hash_bytes(word), count, true);
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

// The slot of `key`, which may be a new one: the caller raises its count.
WordTable::ShortSlot& WordTable::find_short(const Key16& key, std::uint64_t hash) {
    ShortSlot& slot = probe(short_, static_cast<std::size_t>(hash >> short_shift_),
                            [&](const ShortSlot& other) { return other.key == key || other.count == 0; });
    if (slot.count == 0) {
        slot.key = key;
        ++short_used_;
    }
    return slot;
}

void WordTable::add_long(Bytes word, std::uint64_t hash, std::uint64_t count, bool copy) {
    reserve_long(1);
    LongSlot& slot = probe(long_, static_cast<std::size_t>(hash >> long_shift_), [&](const LongSlot& other) {
        return other.count == 0 || (other.hash == hash && other.length == word.size() &&
                                    std::memcmp(other.data, word.data(), word.size()) == 0);
    });
    if (slot.count == 0) {
        slot = {copy ? keep(word) : word.data(), word.size(), hash, 0};
        ++long_used_;
    }
    slot.count += count;
}

void WordTable::reserve_short(std::size_t more) {
    if (2 * (short_used_ + more) <= short_.size()) return;
    enlarge(short_, short_shift_, [](const ShortSlot& slot) { return slot.key.hash(); });
}

void WordTable::reserve_long(std::size_t more) {
    if (2 * (long_used_ + more) <= long_.size()) return;
    enlarge(long_, long_shift_, [](const LongSlot& slot) { return slot.hash; });
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
