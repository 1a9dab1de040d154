#include "bpe/mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace bpe {
namespace {

// Closes the descriptor at the end of its scope.
struct Descriptor {
    int number;
    ~Descriptor() {
        if (number >= 0) ::close(number);
    }
};

[[noreturn]] void fail(const std::string& path) {
    throw std::system_error(errno, std::generic_category(), path);
}

}  // namespace

MappedFile::MappedFile(const std::string& path) {
    const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (file.number < 0) fail(path);
    struct stat info{};
    if (::fstat(file.number, &info) != 0) fail(path);
    if (S_ISREG(info.st_mode) && info.st_size > 0) {
        size_ = static_cast<std::size_t>(info.st_size);
        void* const address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.number, 0);
        if (address == MAP_FAILED) fail(path);
        data_ = static_cast<const std::uint8_t*>(address);
        mapped_ = true;
        ::madvise(address, size_, MADV_SEQUENTIAL);
        return;
    }
    constexpr std::size_t block = std::size_t{1} << 20;
    for (;;) {
        buffer_.resize(size_ + block);
        const ssize_t count = ::read(file.number, buffer_.data() + size_, block);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) fail(path);
        if (count == 0) break;
        size_ += static_cast<std::size_t>(count);
    }
    buffer_.resize(size_);
    data_ = buffer_.data();
}

MappedFile::~MappedFile() {
    if (mapped_) ::munmap(const_cast<std::uint8_t*>(data_), size_);
}

void MappedFile::release_before(const std::uint8_t* end) {
    if (!mapped_) return;
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t until = static_cast<std::size_t>(end - data_) / page * page;
    if (until <= released_) return;
    ::madvise(const_cast<std::uint8_t*>(data_) + released_, until - released_, MADV_DONTNEED);
    released_ = until;
}

}  // namespace bpe
