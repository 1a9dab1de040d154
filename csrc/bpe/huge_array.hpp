// Large zero-filled arrays on huge pages: random access spends less time on address translation.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace bpe {

// The system zeroes the memory and provides each page when it is first touched. Elements are never
// constructed: a T of zero bytes only must be valid.
template <class T>
class HugeArray {
    static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

  public:
    HugeArray() = default;

    explicit HugeArray(std::size_t size) : size_(size) {
        if (size == 0) return;
        if (size > max_bytes / sizeof(T)) throw std::bad_alloc();
        void* memory = mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
        // Must come before the first touch. It is only advice: if it is refused, nothing but speed is lost.
        if (bytes() >= min_huge_bytes) madvise(memory, bytes(), MADV_HUGEPAGE);
#endif
#ifdef MADV_POPULATE_WRITE
        // A hash table reads a slot before it writes to it: that would be two page faults instead of one.
        if (bytes() >= min_populated_bytes && bytes() < min_huge_bytes) {
            madvise(memory, bytes(), MADV_POPULATE_WRITE);
        }
#endif
        data_ = static_cast<T*>(memory);
    }

    HugeArray(HugeArray&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    HugeArray& operator=(HugeArray&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~HugeArray() {
        if (data_ != nullptr) munmap(data_, bytes());
    }

    T* data() { return data_; }
    const T* data() const { return data_; }
    std::size_t size() const { return size_; }
    T& operator[](std::size_t index) { return data_[index]; }
    const T& operator[](std::size_t index) const { return data_[index]; }
    T* begin() { return data_; }
    T* end() { return data_ + size_; }
    const T* begin() const { return data_; }
    const T* end() const { return data_ + size_; }

  private:
    static constexpr std::size_t max_bytes = static_cast<std::size_t>(-1) / 2;
    static constexpr std::size_t min_huge_bytes = std::size_t{1} << 21;
    static constexpr std::size_t min_populated_bytes = std::size_t{1} << 18;

    std::size_t bytes() const { return size_ * sizeof(T); }

    T* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace bpe
