#include "bpe/pack.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <functional>
#include <map>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

namespace bpe {
namespace {

constexpr std::string_view magic = "WCP1";
constexpr std::size_t header_bytes = magic.size() + 8;

class Writer {
  public:
    Writer() : block_(magic) { block_.resize(header_bytes); }

    // `word` is greater than the word before it.
    void write(std::string_view word, std::uint64_t count) {
        const auto shared = static_cast<std::size_t>(
            std::mismatch(word.begin(), word.end(), previous_.begin(), previous_.end()).first - word.begin());
        write_number(shared);
        write_number(word.size() - shared);
        block_ += word.substr(shared);
        write_number(count);
        previous_.resize(shared);
        previous_ += word.substr(shared);
        ++num_words_;
    }

    std::string finish() {
        for (std::size_t k = 0; k < 8; ++k) {
            block_[magic.size() + k] = static_cast<char>((num_words_ >> (8 * k)) & 0xff);
        }
        return std::move(block_);
    }

  private:
    void write_number(std::uint64_t value) {
        for (; value >= 0x80; value >>= 7) block_ += static_cast<char>((value & 0x7f) | 0x80);
        block_ += static_cast<char>(value);
    }

    std::string block_;
    std::string previous_;
    std::uint64_t num_words_ = 0;
};

class Reader {
  public:
    explicit Reader(Bytes block) : at_(block.data()), end_(block.data() + block.size()) {
        if (block.size() < header_bytes || std::memcmp(at_, magic.data(), magic.size()) != 0) fail();
        for (std::size_t k = 0; k < 8; ++k) left_ |= std::uint64_t{at_[magic.size() + k]} << (8 * k);
        at_ += header_bytes;
    }

    // Reads the next word; false after the last one.
    bool next() {
        if (left_ == 0) {
            if (at_ != end_) fail();
            return false;
        }
        --left_;
        const std::uint64_t shared = read_number();
        const std::uint64_t added = read_number();
        if (shared > word_.size() || added == 0 || added > static_cast<std::uint64_t>(end_ - at_)) fail();
        const std::string_view suffix = as_string({at_, static_cast<std::size_t>(added)});
        if (std::string_view(word_).substr(static_cast<std::size_t>(shared)) >= suffix) fail();
        word_.resize(static_cast<std::size_t>(shared));
        word_ += suffix;
        at_ += added;
        count_ = read_number();
        if (count_ == 0) fail();
        return true;
    }

    std::string_view word() const { return word_; }
    std::uint64_t count() const { return count_; }

  private:
    std::uint64_t read_number() {
        std::uint64_t value = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
            if (at_ == end_) fail();
            const std::uint8_t byte = *at_++;
            value |= std::uint64_t{byte & 0x7fU} << shift;
            if (byte < 0x80) return value;
        }
        fail();
    }

    [[noreturn]] static void fail() {
        throw std::invalid_argument("the bytes are not packed word counts, or they are damaged");
    }

    const std::uint8_t* at_;
    const std::uint8_t* end_;
    std::uint64_t left_ = 0;
    std::string word_;
    std::uint64_t count_ = 0;
};

}  // namespace

std::string pack(WordCounts& counts) {
    struct Entry {
        std::size_t offset;
        std::size_t length;
        std::uint64_t count;
    };
    std::string bytes;
    std::vector<Entry> entries;
    entries.reserve(counts.distinct());
    counts.for_each([&](std::string_view word, std::uint64_t count) {
        entries.push_back({bytes.size(), word.size(), count});
        bytes += word;
    });
    const auto word_of = [&](const Entry& entry) {
        return std::string_view(bytes).substr(entry.offset, entry.length);
    };
    // std::string_view compares bytes as unsigned.
    std::ranges::sort(entries, std::ranges::less(), word_of);
    Writer writer;
    for (const Entry& entry : entries) writer.write(word_of(entry), entry.count);
    return writer.finish();
}

void unpack(Bytes packed, WordCounts& counts) {
    Reader reader(packed);
    while (reader.next()) counts.add(reader.word(), reader.count());
}

std::string merge_packed(std::span<const Bytes> blocks) {
    std::vector<Reader> readers(blocks.begin(), blocks.end());
    std::vector<Reader*> heap;  // the reader with the smallest word on top
    const auto later = [](const Reader* a, const Reader* b) { return a->word() > b->word(); };
    const auto advance = [&](Reader& reader) {
        if (!reader.next()) return;
        heap.push_back(&reader);
        std::ranges::push_heap(heap, later);
    };
    for (Reader& reader : readers) advance(reader);
    Writer writer;
    std::string word;
    while (!heap.empty()) {
        word = heap.front()->word();
        std::uint64_t count = 0;
        while (!heap.empty() && heap.front()->word() == word) {
            std::ranges::pop_heap(heap, later);
            Reader& reader = *heap.back();
            heap.pop_back();
            count += reader.count();
            advance(reader);
        }
        writer.write(word, count);
    }
    return writer.finish();
}

Pruned prune_packed(Bytes packed, std::uint64_t max_words) {
    std::map<std::uint64_t, std::uint64_t, std::greater<>> words_with;  // count -> words, the largest first
    for (Reader reader(packed); reader.next();) ++words_with[reader.count()];
    Pruned result;
    std::uint64_t kept = 0;
    for (const auto& [count, words] : words_with) {
        kept += words;
        if (kept > max_words) {
            result.largest_dropped = count;
            break;
        }
    }
    Writer writer;
    for (Reader reader(packed); reader.next();) {
        if (reader.count() > result.largest_dropped) {
            writer.write(reader.word(), reader.count());
        } else {
            result.total_dropped += reader.count();
        }
    }
    result.packed = writer.finish();
    return result;
}

}  // namespace bpe
