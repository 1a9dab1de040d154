// Arrays of token ids that do not clear memory before it is written.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <utility>

#include "bpe/vocabulary.hpp"

namespace bpe {

// Grows as ids are appended.
class IdBuffer {
  public:
    std::size_t size() const { return size_; }
    TokenId* data() { return ids_.get(); }
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

// Memory for ids that is written from front to back. New pages of 4 KiB cost a good part of the time of
// encoding what fills them (DESIGN.md), so large arrays ask for huge pages, as far as they fill these.
template <class Id>
class IdMemory {
  public:
    IdMemory() = default;
    explicit IdMemory(std::size_t count) {
        void* memory = nullptr;
        const std::size_t bytes =
            std::max<std::size_t>(1, count * sizeof(Id));  // of none, the result may be null
        const bool large = bytes >= huge_page;
        const std::size_t alignment = large ? huge_page : alignof(std::max_align_t);
        if (posix_memalign(&memory, alignment, bytes) != 0) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
        if (large) madvise(memory, bytes / huge_page * huge_page, MADV_HUGEPAGE);
#endif
        ids_.reset(static_cast<Id*>(memory));
    }

    Id* get() const { return ids_.get(); }

    // Gives back what is behind `count` ids.
    void shrink(std::size_t count) {
        void* const memory = std::realloc(ids_.get(), std::max<std::size_t>(1, count * sizeof(Id)));
        if (memory == nullptr) return;  // it stays as it is
        static_cast<void>(ids_.release());
        ids_.reset(static_cast<Id*>(memory));
    }

    // The caller frees it with std::free().
    Id* release() { return ids_.release(); }

  private:
    static constexpr std::size_t huge_page = std::size_t{1} << 21;

    struct Free {
        void operator()(void* memory) const { std::free(memory); }
    };
    std::unique_ptr<Id, Free> ids_;
};

// The ids of texts. Id is std::uint16_t where the vocabulary allows it, otherwise std::uint32_t.
template <class Id>
struct IdArray {
    IdMemory<Id> data;
    std::size_t size = 0;

    IdArray() = default;
    explicit IdArray(std::size_t count) : data(count), size(count) {}
    explicit IdArray(std::span<const TokenId> ids) : IdArray(ids.size()) {
        std::ranges::transform(ids, data.get(), [](TokenId id) { return static_cast<Id>(id); });
    }

    std::span<const Id> span() const { return {data.get(), size}; }
};

}  // namespace bpe
