#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "bpe/hash.hpp"
#include "bpe/hash_table.hpp"
#include "bpe/word_table.hpp"
#include "engine.hpp"

TEST_CASE("probing starts where it is told, goes on after the last slot with the first, and stops") {
    std::vector<int> slots = {4, 1, 2, 3};
    const auto place = [&](std::size_t start, int wanted) {
        return &bpe::probe(slots, start, [=](int slot) { return slot == wanted; }) - slots.data();
    };
    CHECK(place(2, 2) == 2);
    CHECK(place(1, 3) == 3);
    CHECK(place(3, 1) == 1);
    CHECK(place(1, 4) == 0);
}

TEST_CASE("a hash depends on every byte and on the length") {
    std::set<std::uint64_t> hashes;
    std::size_t number = 0;
    for (std::size_t size = 0; size < 40; ++size, ++number) {
        std::string text(size, '\0');
        hashes.insert(bpe::hash_bytes(bpe::as_bytes(text)));
        for (char& byte : text) {
            byte = 1;
            hashes.insert(bpe::hash_bytes(bpe::as_bytes(text)));
            byte = 0;
            ++number;
        }
    }
    CHECK(hashes.size() == number);
}

TEST_CASE("a table of words agrees with std::map while it grows and absorbs others") {
    std::mt19937 random(9);
    Words expected;
    bpe::WordTable whole;
    for (int table = 0; table < 3; ++table) {
        bpe::WordTable part;
        for (int k = 0; k < 20'000; ++k) {
            // Short words and long ones, both above and below the limit of what a slot itself holds.
            std::string word(1 + random() % 24, 'x');
            const std::uint64_t tail = random() % 10'000;
            std::memcpy(word.data(), &tail, std::min(sizeof tail, word.size()));
            const std::uint64_t count = 1 + random() % 3;
            expected[word] += count;
            part.add(bpe::as_bytes(word), count);
        }
        whole.absorb(std::move(part));
    }
    CHECK(whole.distinct() == expected.size());
    Words found;
    whole.for_each([&](const std::uint8_t* word, std::size_t length, std::uint64_t count) {
        found[std::string(bpe::as_string({word, length}))] += count;
        return true;
    });
    CHECK((found == expected));
}
