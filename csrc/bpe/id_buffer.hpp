// Arrays of token ids that do not clear memory before it is written.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

#include "bpe/vocabulary.hpp"

namespace bpe {

// Grows as ids are appended.
class IdBuffer {
  public:
    std::size_t size() const { return size_; }
    const TokenId* data() const { return ids_.get(); }
    std::span<const TokenId> span() const { return {ids_.get(), size_}; }
    TokenId* end() { return ids_.get() + size_; }
    void clear() { size_ = 0; }

    // Makes room for `count` more ids: write them at end(), then call advance().
    void reserve_more(std::size_t count) {
        if (size_ + count <= capacity_) return;
        const std::size_t capacity = std::max(2 * capacity_, size_ + count);
        auto grown = std::make_unique_for_overwrite<TokenId[]>(capacity);
        if (size_ != 0) std::memcpy(grown.get(), ids_.get(), size_ * sizeof(TokenId));
        ids_ = std::move(grown);
        capacity_ = capacity;
    }
    void advance(std::size_t count) { size_ += count; }
    void set_end(const TokenId* end) { size_ = static_cast<std::size_t>(end - ids_.get()); }

    // Removes the ids of numbers `first` to `last`, without the last.
    void erase(std::size_t first, std::size_t last) {
        if (last != size_) std::memmove(&ids_[first], &ids_[last], (size_ - last) * sizeof(TokenId));
        size_ -= last - first;
    }

    void push(TokenId id) {
        reserve_more(1);
        ids_[size_++] = id;
    }

  private:
    std::unique_ptr<TokenId[]> ids_;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
};

// The ids of one text. Id is std::uint16_t where the vocabulary allows it,
// otherwise std::uint32_t.
template <class Id>
struct IdArray {
    std::unique_ptr<Id[]> data;
    std::size_t size = 0;

    IdArray() = default;
    explicit IdArray(std::size_t count) : data(std::make_unique_for_overwrite<Id[]>(count)), size(count) {}
    explicit IdArray(std::span<const TokenId> ids) : IdArray(ids.size()) {
        std::ranges::transform(ids, data.get(), [](TokenId id) { return static_cast<Id>(id); });
    }

    std::span<const Id> span() const { return {data.get(), size}; }
};

}  // namespace bpe
