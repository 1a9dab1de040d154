#include "bpe/count.hpp"

#include <algorithm>
#include <atomic>

namespace bpe {
namespace {

// Large enough that the cost of taking a piece is negligible, small enough that all threads end at about the
// same time and progress is smooth.
constexpr std::size_t piece_bytes = std::size_t{1} << 20;

// Work for one thread at a time: some whole documents, or a part of a large one.
struct Piece {
    std::span<const Bytes> documents;
    Bytes part;
};

std::vector<Piece> divide(std::span<const Bytes> documents, const SpecialTokens& specials) {
    std::vector<Piece> pieces;
    std::size_t begin = 0;
    std::size_t gathered = 0;
    const auto finish = [&](std::size_t end) {
        if (end > begin) pieces.push_back({documents.subspan(begin, end - begin), {}});
        gathered = 0;
    };
    for (std::size_t i = 0; i < documents.size(); ++i) {
        if (documents[i].size() > 2 * piece_bytes) {
            finish(i);
            begin = i + 1;
            for (const Bytes part : split_into_chunks(documents[i], specials, piece_bytes)) {
                pieces.push_back({{}, part});
            }
            continue;
        }
        gathered += documents[i].size();
        if (gathered >= piece_bytes) {
            finish(i + 1);
            begin = i + 1;
        }
    }
    finish(documents.size());
    return pieces;
}

void count_text(WordTable& table, Bytes text, Pattern pattern, const SpecialTokens& specials,
                Progress& progress) {
    const std::size_t size = text.size();
    if (!specials.empty()) {
        while (const auto match = specials.find(text.data(), text.data() + text.size())) {
            table.count({text.data(), match->begin}, pattern, progress);
            text = {match->end, text.data() + text.size()};
        }
    }
    table.count(text, pattern, progress);
    progress.done.fetch_add(size, std::memory_order_relaxed);
}

}  // namespace

void WordCounts::add_documents(std::span<const Bytes> documents, Pattern pattern,
                               const SpecialTokens& specials, std::size_t num_threads, const Tick& tick) {
    const std::vector<Piece> pieces = divide(documents, specials);
    std::uint64_t total_bytes = 0;
    for (const Bytes document : documents) total_bytes += document.size();

    const std::size_t num_workers = std::max<std::size_t>(1, std::min(num_threads, pieces.size()));
    if (tables_.size() < num_workers) tables_.resize(num_workers);
    std::atomic<std::size_t> next{0};
    const auto work = [&](std::size_t worker, Progress& progress) {
        WordTable& table = tables_[worker];
        for (std::size_t i = next++; i < pieces.size() && !progress.cancelled; i = next++) {
            for (const Bytes document : pieces[i].documents) {
                count_text(table, document, pattern, specials, progress);
            }
            count_text(table, pieces[i].part, pattern, specials, progress);
        }
    };
    if (pieces.size() == 1 && total_bytes < piece_bytes) {  // too little to start a thread for
        run_here(total_bytes, tick, work);
        return;
    }
    run_parallel(num_workers, total_bytes, tick, work);
}

void WordCounts::add(std::string_view word, std::uint64_t count) {
    if (tables_.empty()) tables_.resize(1);
    tables_[0].add(as_bytes(word), count);
}

std::size_t WordCounts::distinct() {
    return merged(1, {}).distinct();
}

std::uint64_t WordCounts::total() const {
    std::uint64_t total = 0;
    for (const WordTable& table : tables_) {
        table.for_each([&](const std::uint8_t*, std::size_t, std::uint64_t count) {
            total += count;
            return true;
        });
    }
    return total;
}

void WordCounts::for_each(const std::function<void(std::string_view, std::uint64_t)>& visit) {
    merged(1, {}).for_each([&](const std::uint8_t* word, std::size_t length, std::uint64_t count) {
        visit(as_string({word, length}), count);
        return true;
    });
}

const WordTable& WordCounts::merged(std::size_t num_threads, const Tick& tick) {
    if (tables_.empty()) tables_.resize(1);
    // In log2(tables) rounds; within a round, pairs of tables are merged in parallel.
    while (tables_.size() > 1) {
        const std::size_t kept = (tables_.size() + 1) / 2;
        const std::size_t absorbed = tables_.size() - kept;
        std::atomic<std::size_t> next{0};
        run_parallel(std::max<std::size_t>(1, std::min(num_threads, absorbed)), 0, tick,
                     [&](std::size_t, Progress& progress) {
                         for (std::size_t i = next++; i < absorbed && !progress.cancelled; i = next++) {
                             tables_[i].absorb(std::move(tables_[kept + i]));
                         }
                     });
        tables_.resize(kept);
    }
    return tables_[0];
}

}  // namespace bpe
