// The bytes of a file, without reading it into memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace bpe {

// Maps a regular file; reads anything else, such as a pipe, into memory. Throws a std::system_error that
// names the file. The file must not shrink while it is mapped.
class MappedFile {
  public:
    explicit MappedFile(const std::string& path);
    ~MappedFile();
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;

    std::span<const std::uint8_t> bytes() const { return {data_, size_}; }

    // Tells the system that the bytes before `end` will not be used again, so that resident memory stays
    // small for files larger than memory.
    void release_before(const std::uint8_t* end);

  private:
    const std::uint8_t* data_ = nullptr;
    std::size_t size_ = 0;
    std::size_t released_ = 0;
    bool mapped_ = false;
    std::vector<std::uint8_t> buffer_;
};

}  // namespace bpe
