// The ids of several texts in one array, put together by several threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <span>
#include <utility>
#include <vector>

#include "bpe/id_buffer.hpp"
#include "bpe/vocabulary.hpp"

namespace bpe {

// The ids of all texts, one after the other: those of text k are from offsets[k] to offsets[k + 1].
template <class Id>
struct IdBatch {
    IdArray<Id> ids;
    std::vector<std::int64_t> offsets;
};

// Puts groups of ids one after the other while others are still being made. Threads hand them over in any
// order; one that comes early is kept until those before it are there. Ids are copied by all threads at once:
// only their places are given out one by one. Memory that is not written is not provided by the
// system, so the array may be too large, in the end up to twice.
template <class Id>
class IdCollector {
  public:
    explicit IdCollector(std::uint64_t total_bytes) : total_bytes_(total_bytes) {}

    // `group` counts from 0; `bytes` is the size of its text.
    void put(std::size_t group, std::span<const TokenId> ids, std::size_t bytes) {
        std::unique_lock lock(mutex_);
        if (group == next_) {
            append(ids, bytes, lock);
        } else {
            lock.unlock();
            Early early{IdArray<Id>(ids), bytes};
            lock.lock();
            early_.emplace(group, std::move(early));
        }
        while (!early_.empty() && early_.begin()->first == next_) {
            const Early early = std::move(early_.extract(early_.begin()).mapped());
            append(early.ids.span(), early.bytes, lock);
        }
    }

    // Call it after the last put() has returned.
    IdArray<Id> take() {
        if (capacity_ > 2 * ids_.size) ids_.data.shrink(ids_.size);
        return std::move(ids_);
    }

  private:
    struct Early {
        IdArray<Id> ids;
        std::size_t bytes;
    };

    // `lock` is open while ids are copied.
    template <class From>
    void append(std::span<const From> ids, std::size_t bytes, std::unique_lock<std::mutex>& lock) {
        ++next_;
        bytes_ += bytes;
        const std::size_t place = ids_.size;
        if (place + ids.size() > capacity_) grow(place + ids.size());
        ids_.size += ids.size();
        {
            const std::shared_lock copying(moving_);
            lock.unlock();
            std::ranges::transform(ids, ids_.data.get() + place, [](From id) { return static_cast<Id>(id); });
        }
        lock.lock();
    }

    // For as many ids as all texts will have if it goes on like this, and some more.
    void grow(std::size_t count) {
        const double part_done = static_cast<double>(bytes_) / static_cast<double>(total_bytes_);
        capacity_ = std::max(static_cast<std::size_t>(1.1 * static_cast<double>(count) / part_done), count);
        IdArray<Id> larger(capacity_);
        larger.size = ids_.size;
        const std::unique_lock others_have_copied(moving_);
        std::ranges::copy(ids_.span(), larger.data.get());
        ids_ = std::move(larger);
    }

    std::mutex mutex_;
    std::shared_mutex moving_;  // shared by those who copy into ids_
    std::uint64_t total_bytes_;
    std::uint64_t bytes_ = 0;
    std::size_t next_ = 0;
    std::map<std::size_t, Early> early_;
    IdArray<Id> ids_{std::size_t{0}};
    std::size_t capacity_ = 0;
};

}  // namespace bpe
