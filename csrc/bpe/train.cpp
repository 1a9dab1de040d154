#include "bpe/train.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>

#include "bpe/candidate_table.hpp"
#include "bpe/pair_queue.hpp"
#include "bpe/symbol_bytes.hpp"
#include "bpe/train_text.hpp"

namespace bpe {
namespace {

// Memory for lists of positions. Lists are not freed individually, but the list of the pair that has just
// been merged is reused first.
class PositionArena {
  public:
    void recycle(Position* begin, std::size_t size) {
        recycled_ = begin;
        recycled_left_ = size;
    }

    Position* allocate(std::size_t size) {
        if (size <= recycled_left_) return take(recycled_, recycled_left_, size);
        if (size > left_) {
            left_ = std::max(block_size, size);
            blocks_.push_back(std::make_unique_for_overwrite<Position[]>(left_));
            next_ = blocks_.back().get();
        }
        return take(next_, left_, size);
    }

  private:
    static constexpr std::size_t block_size = std::size_t{1} << 18;

    static Position* take(Position*& next, std::size_t& left, std::size_t size) {
        Position* const taken = next;
        next += size;
        left -= size;
        return taken;
    }

    std::vector<std::unique_ptr<Position[]>> blocks_;
    Position* next_ = nullptr;
    std::size_t left_ = 0;
    Position* recycled_ = nullptr;
    std::size_t recycled_left_ = 0;
};

// A symbol found on one side of the occurrences of a pair while the pair is being merged.
struct Neighbour {
    std::uint64_t weight = 0;
    std::size_t number = 0;
    Position* list = nullptr;  // of the new pair, if it may still be merged
};

struct Neighbours {
    std::vector<Neighbour> by_symbol;
    std::vector<Symbol> seen;

    void add(Symbol symbol, std::uint64_t weight) {
        Neighbour& neighbour = by_symbol[symbol];
        if (neighbour.number++ == 0) seen.push_back(symbol);
        neighbour.weight += weight;
    }
};

template <class Place>
class Trainer {
  public:
    Trainer(TrainText<Place>& text, std::size_t num_merges, Progress& progress)
        : text_(text),
          num_merges_(num_merges),
          floor_(text.least_winning_count(num_merges)),
          least_count_(first_least_count()),
          progress_(progress),
          queue_(table_, PairLess{&bytes_}) {
        const std::size_t num_symbols = first_merged + num_merges;
        bytes_.reserve(num_symbols);
        lengths_.reserve(num_symbols);
        all_bytes_.resize(256);
        for (std::size_t byte = 0; byte < 256; ++byte) all_bytes_[byte] = static_cast<std::uint8_t>(byte);
        for (std::size_t byte = 0; byte < 256; ++byte) add_symbol(&all_bytes_[byte], 1);
        add_symbol(all_bytes_.data(), 0);  // the two marks, which are in no pair
        add_symbol(all_bytes_.data(), 0);
        left_.by_symbol.resize(num_symbols);
        right_.by_symbol.resize(num_symbols);
    }

    // Lists the positions of all pairs of bytes that occur often enough.
    void index() {
        std::size_t total = 0;
        for (const auto& pair : text_.byte_pairs()) {
            if (pair.weight >= least_count_) total += pair.number;
        }
        first_lists_ = HugeArray<Position>(total);
        std::vector<Position*> next(text_.byte_pairs().size(), nullptr);
        Position* list = first_lists_.data();
        for (std::size_t pair = 0; pair < next.size(); ++pair) {
            const auto [weight, number] = text_.byte_pairs()[pair];
            if (number == 0 || weight < least_count_) continue;
            next[pair] = list;
            add_pair(static_cast<Symbol>(pair >> 8), static_cast<Symbol>(pair & 255), weight, list, number);
            list += number;
        }
        const Place* const places = text_.places();
        for (std::size_t position = 1; position < text_.size(); position += 2) {
            if (progress_.cancelled.load(std::memory_order_relaxed)) return;
            for (; places[position + 1] != end_mark; ++position) {
                Position*& place = next[std::size_t{places[position]} << 8 | places[position + 1]];
                if (place != nullptr) *place++ = static_cast<Position>(position);
            }
        }
    }

    // No pair that is not listed occurs as often as one that is, so the most frequent pair is a listed one
    // as long as there is any. Then all pairs are counted again and more of them are listed.
    void run(TrainResult& result) {
        Candidate best;
        while (result.merges.size() < num_merges_ && !progress_.cancelled.load(std::memory_order_relaxed)) {
            if (!queue_.pop(best)) {
                if (least_count_ == floor_) return;
                least_count_ = next_least_count(result.counts);
                index_again();
                continue;
            }
            merge(best.left, best.right);
            result.merges.emplace_back(public_id(best.left), public_id(best.right));
            result.counts.push_back(best.count);
            progress_.done.store(result.merges.size(), std::memory_order_relaxed);
        }
    }

  private:
    // The share of all pairs that the last merge is first supposed to make, in units of 1 / num_merges. Most
    // pairs are rare, and listing one that never wins is wasted; too high a count costs a pass over the text.
    static constexpr std::uint64_t first_share = 16;

    // Above this, few of the pairs that the bound lets through are in vain: counting again would cost more.
    static constexpr std::uint64_t low_floor = 8;

    static constexpr std::size_t min_sketch = std::size_t{1} << 10;
    static constexpr std::size_t max_sketch = std::size_t{1} << 22;

    std::uint64_t first_least_count() const {
        if (floor_ >= low_floor) return floor_;
        return std::max(floor_, text_.total_weight() / (first_share * num_merges_ + 1));
    }

    // A little less than the count that the last merge will have, if counts go on falling like a power of the
    // number of merges, as they did in the second half of the merges so far.
    std::uint64_t next_least_count(const std::vector<std::uint64_t>& counts) const {
        const std::uint64_t most = least_count_ / 2;
        if (counts.size() < 64) return std::max(floor_, most / 4);
        const auto last = static_cast<double>(counts.back());
        const double slope = std::log2(static_cast<double>(counts[counts.size() / 2]) / last);
        const double share = static_cast<double>(counts.size()) / static_cast<double>(num_merges_);
        const double expected = 0.75 * last * std::pow(share, slope);
        return std::clamp(static_cast<std::uint64_t>(expected), floor_, std::max(floor_, most));
    }

    // Calls visit(left, right, position, weight) for all pairs of neighbours in the text as it is now.
    template <class Visit>
    void for_each_pair(const Visit& visit) const {
        const Place* const places = text_.places();
        Position position = 1;
        for (const auto& group : text_.weight_classes()) {
            while (position < group.end && !progress_.cancelled.load(std::memory_order_relaxed)) {
                Symbol left = places[position];
                for (;;) {
                    const Position behind = position + lengths_[left];
                    const Symbol right = places[behind];
                    if (right == end_mark) {
                        position = behind + 1;
                        break;
                    }
                    visit(left, right, position, group.weight);
                    position = behind;
                    left = right;
                }
            }
        }
    }

    // Forgets all lists and lists the pairs of the text as it is now that occur at least least_count_ times.
    void index_again() {
        // Pairs with the same hash are counted together first: most pairs are so rare that this rules them
        // out, and need no entry in the table.
        HugeArray<std::uint64_t> sketch(std::clamp(std::bit_ceil(text_.size() / 4), min_sketch, max_sketch));
        const auto bucket = [shift = shift_for(sketch.size())](Symbol left, Symbol right) {
            return static_cast<std::size_t>(CandidateTable::hash(left, right) >> shift);
        };
        for_each_pair([&](Symbol left, Symbol right, Position, std::uint64_t weight) {
            sketch[bucket(left, right)] += weight;
        });
        table_ = CandidateTable();
        for_each_pair([&](Symbol left, Symbol right, Position, std::uint64_t weight) {
            if (sketch[bucket(left, right)] < least_count_) return;
            if (TrainPair* const pair = table_.find(left, right)) {
                pair->count += weight;
                ++pair->num_positions;
            } else {
                table_.insert({left, right, weight, nullptr, 1});
            }
        });
        std::size_t total = 0;
        for (TrainPair& pair : table_) {
            if (pair.count < least_count_) pair.count = 0;
            if (pair.count != 0) total += pair.num_positions;
        }
        arena_ = PositionArena();
        first_lists_ = HugeArray<Position>(total);
        Position* list = first_lists_.data();
        for (TrainPair& pair : table_) {
            if (pair.count == 0) continue;
            queue_.push({pair.count, pair.left, pair.right});
            pair.positions = list;
            list += pair.num_positions;
        }
        for_each_pair([&](Symbol left, Symbol right, Position position, std::uint64_t) {
            if (sketch[bucket(left, right)] < least_count_) return;
            TrainPair* const pair = table_.find(left, right);
            if (pair->count != 0) *pair->positions++ = position;  // moved back below
        });
        if (progress_.cancelled.load(std::memory_order_relaxed)) return;
        for (TrainPair& pair : table_) {
            if (pair.count != 0) pair.positions -= pair.num_positions;
        }
    }

    // An occurrence that has been merged.
    struct Merged {
        Position position;
        Symbol left;  // the neighbours, end_mark where there is none
        Symbol right;
    };

    static std::uint32_t public_id(Symbol symbol) {
        return symbol < 256 ? symbol : symbol - (first_merged - 256);
    }

    void add_symbol(const std::uint8_t* data, std::size_t length) {
        bytes_.emplace_back(data, length);
        lengths_.push_back(static_cast<Position>(length));
    }

    void add_pair(Symbol left, Symbol right, std::uint64_t count, Position* list, std::size_t number) {
        table_.insert({left, right, count, list, static_cast<std::uint32_t>(number)});
        queue_.push({count, left, right});
    }

    void lower(Symbol left, Symbol right, std::uint64_t by) {
        TrainPair* const pair = table_.find(left, right);
        if (pair == nullptr || pair->count == 0) return;
        pair->count -= by;
        if (pair->count < least_count_) pair->count = 0;
    }

    void merge(Symbol a, Symbol b) {
        TrainPair* const pair = table_.find(a, b);
        pair->count = 0;
        arena_.recycle(pair->positions, pair->num_positions);
        const Symbol made = static_cast<Symbol>(bytes_.size());
        const std::uint64_t chained = replace(*pair, made);
        if (merged_.empty()) return;
        add_symbol(text_.bytes() + merged_.front().position, lengths_[a] + lengths_[b]);
        if (chained != 0) lower(b, a, chained);
        update_pairs(a, b, made);
        list_positions();
    }

    // Writes the symbol `made` over all occurrences of the pair, from left to right, and records their
    // neighbours. Returns the weight of the occurrences that directly follow another one.
    std::uint64_t replace(const TrainPair& pair, Symbol made) {
        Place* const places = text_.places();
        const Symbol a = pair.left;
        const Symbol b = pair.right;
        const Position a_length = lengths_[a];
        const Position length = a_length + lengths_[b];
        const Position* const positions = pair.positions;
        const std::size_t number = pair.num_positions;
        std::uint64_t chained = 0;
        Position class_end = 0;
        std::uint64_t weight = 0;
        merged_.clear();
        for (std::size_t i = 0; i < number; ++i) {
            if (i + look_ahead < number) __builtin_prefetch(&places[positions[i + look_ahead]], 1);
            if (i % 65536 == 65535 && progress_.cancelled.load(std::memory_order_relaxed)) break;
            const Position position = positions[i];
            if (places[position] != a || places[position + a_length] != b)
                continue;  // merged with a neighbour
            if (position >= class_end) {
                const auto& group = text_.weight_class(position);
                weight = group.weight;
                class_end = group.end;
            }
            places[position + a_length - 1] = static_cast<Place>(inside_mark);
            places[position + a_length] = static_cast<Place>(inside_mark);
            places[position] = static_cast<Place>(made);
            places[position + length - 1] = static_cast<Place>(made);
            const Symbol left = places[position - 1];
            const Symbol right = places[position + length];
            if (left == made) {
                // The occurrence before this one recorded the first half of this one as its right neighbour.
                // Undo that: its right neighbour is the new symbol, and that pair is recorded here.
                chained += weight;
                merged_.back().right = end_mark;
                Neighbour& before = right_.by_symbol[a];
                before.weight -= weight;
                --before.number;
            }
            left_.add(left, weight);
            right_.add(right, weight);
            merged_.push_back({position, left, right});
        }
        return chained;
    }

    // Lowers the counts of the pairs that were broken up, and adds the new pairs.
    void update_pairs(Symbol a, Symbol b, Symbol made) {
        for (const Symbol left : left_.seen) table_.prefetch(left, a);
        for (const Symbol right : right_.seen) table_.prefetch(b, right);
        for (const Symbol left : left_.seen) {
            Neighbour& neighbour = left_.by_symbol[left];
            if (left != made && left != end_mark) lower(left, a, neighbour.weight);
            enter(left, made, neighbour);
        }
        for (const Symbol right : right_.seen) {
            Neighbour& neighbour = right_.by_symbol[right];
            if (right != end_mark) lower(b, right, neighbour.weight);
            enter(made, right, neighbour);
        }
    }

    void enter(Symbol left, Symbol right, Neighbour& neighbour) {
        if (neighbour.number != 0 && neighbour.weight >= least_count_ && left != end_mark &&
            right != end_mark) {
            neighbour.list = arena_.allocate(neighbour.number);
            add_pair(left, right, neighbour.weight, neighbour.list, neighbour.number);
        }
        neighbour.weight = 0;
        neighbour.number = 0;
    }

    // Fills the lists of the new pairs.
    void list_positions() {
        for (const Merged& merged : merged_) {
            if (Position*& list = left_.by_symbol[merged.left].list)
                *list++ = merged.position - lengths_[merged.left];
            if (Position*& list = right_.by_symbol[merged.right].list) *list++ = merged.position;
        }
        for (Neighbours* side : {&left_, &right_}) {
            for (const Symbol symbol : side->seen) side->by_symbol[symbol].list = nullptr;
            side->seen.clear();
        }
    }

    static constexpr std::size_t look_ahead = 12;

    TrainText<Place>& text_;
    std::size_t num_merges_;
    std::uint64_t floor_;        // no pair that occurs less often is merged
    std::uint64_t least_count_;  // the pairs that occur as often are listed
    Progress& progress_;

    std::vector<std::uint8_t> all_bytes_;
    std::vector<SymbolBytes> bytes_;
    std::vector<Position> lengths_;
    CandidateTable table_;
    PairQueue<PairLess> queue_;
    HugeArray<Position> first_lists_;
    PositionArena arena_;

    Neighbours left_;
    Neighbours right_;
    std::vector<Merged> merged_;
};

template <class Place>
void train_on(const WordTable& words, std::size_t num_merges, Progress& progress, TrainResult& result) {
    TrainText<Place> text(words, progress);
    Trainer<Place> trainer(text, std::min(num_merges, text.size()), progress);
    trainer.index();
    trainer.run(result);
}

}  // namespace

TrainResult train(WordCounts& words, std::size_t num_merges, std::size_t num_threads, const Tick& tick) {
    TrainResult result;
    const WordTable& table = words.merged(num_threads, tick);
    run_parallel(1, num_merges, tick, [&](std::size_t, Progress& progress) {
        if (num_merges <= 65536 - first_merged) {
            train_on<std::uint16_t>(table, num_merges, progress, result);
        } else {
            train_on<std::uint32_t>(table, num_merges, progress, result);
        }
    });
    return result;
}

}  // namespace bpe
