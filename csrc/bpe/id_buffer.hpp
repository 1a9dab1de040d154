// A growing array of token ids that does not clear memory before it is written.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>

#include "bpe/vocabulary.hpp"

namespace bpe {

class IdBuffer {
  public:
    std::size_t size() const { return size_; }
    const TokenId* data() const { return ids_.get(); }
    TokenId* end() { return ids_.get() + size_; }
    void clear() { size_ = 0; }

    // Makes room for `count` more ids, to be written from end() on and taken over by advance().
    void reserve_more(std::size_t count) {
        if (size_ + count <= capacity_) return;
        const std::size_t capacity = std::max(2 * capacity_, size_ + count);
        auto grown = std::make_unique_for_overwrite<TokenId[]>(capacity);
        if (size_ != 0) std::memcpy(grown.get(), ids_.get(), size_ * sizeof(TokenId));
        ids_ = std::move(grown);
        capacity_ = capacity;
    }
    void advance(std::size_t count) { size_ += count; }

    void push(TokenId id) {
        reserve_more(1);
        ids_[size_++] = id;
    }

  private:
    std::unique_ptr<TokenId[]> ids_;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
};

}  // namespace bpe
