// A small backtracking matcher for the published patterns: the reference for the scanners. It reads the
// expressions that course_lib/tokenizer/patterns.py holds, and knows only what occurs in them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bpe/unicode.hpp"
#include "fuzz.hpp"

namespace fuzz {

// A code point; a byte that is not UTF-8 counts as one symbol.
struct CodePoint {
    std::uint32_t code;
    std::size_t begin;

    static constexpr std::uint32_t invalid = 0x110000;
    unsigned classes() const { return code == invalid ? bpe::punct_symbol : bpe::classes_of(code); }
};

// Decodes by trying: a sequence is valid if its value, written in the shortest way, gives the same bytes.
inline std::vector<CodePoint> code_points(bpe::Bytes text) {
    const auto encoded = [](std::uint32_t code) {
        std::string bytes;
        const auto add = [&](std::uint32_t value) { bytes += static_cast<char>(value); };
        if (code < 0x80) {
            add(code);
        } else if (code < 0x800) {
            add(0xc0 | code >> 6);
        } else if (code < 0x10000) {
            add(0xe0 | code >> 12);
        } else {
            add(0xf0 | code >> 18);
        }
        if (code >= 0x10000) add(0x80 | (code >> 12 & 0x3f));
        if (code >= 0x800) add(0x80 | (code >> 6 & 0x3f));
        if (code >= 0x80) add(0x80 | (code & 0x3f));
        return bytes;
    };
    std::vector<CodePoint> result;
    for (std::size_t at = 0; at < text.size();) {
        std::size_t length = 0;
        std::uint32_t code = 0;
        for (std::size_t tried = 1; tried <= 4 && at + tried <= text.size() && length == 0; ++tried) {
            constexpr std::array<unsigned, 5> lead_bits = {0, 0x7f, 0x1f, 0x0f, 0x07};
            code = text[at] & lead_bits[tried];
            for (std::size_t k = 1; k < tried; ++k) code = code << 6 | (text[at + k] & 0x3fU);
            const bool scalar = code < 0xd800 || (code >= 0xe000 && code < 0x110000);
            if (scalar && encoded(code) == bpe::as_string(text.subspan(at, tried))) length = tried;
        }
        result.push_back({length == 0 ? CodePoint::invalid : code, at});
        at += std::max<std::size_t>(1, length);
    }
    return result;
}

class Expression {
  public:
    explicit Expression(const std::string& source) {
        for (const CodePoint& point : code_points(bpe::as_bytes(source))) source_.push_back(point.code);
        root_ = alternatives(false);
        check(at_ == source_.size(), "the whole pattern was read");
    }

    // The pieces of `text`. The published patterns leave no gap.
    std::vector<bpe::Bytes> pieces(bpe::Bytes text) {
        text_ = code_points(text);
        std::vector<bpe::Bytes> result;
        for (std::size_t start = 0; start < text_.size();) {
            std::size_t stop = start;
            const auto note = [&](std::size_t place) {
                stop = place;
                return true;
            };
            check(root_(start, note) && stop > start, "the pattern matches something everywhere");
            const std::size_t end = stop < text_.size() ? text_[stop].begin : text.size();
            result.push_back(text.subspan(text_[start].begin, end - text_[start].begin));
            start = stop;
        }
        return result;
    }

  private:
    using Next = std::function<bool(std::size_t)>;
    using Node = std::function<bool(std::size_t, const Next&)>;  // at a place, and what must match behind it
    using Test = std::function<bool(const CodePoint&)>;

    bool follows(char32_t code) const { return at_ < source_.size() && source_[at_] == code; }
    bool accept(const char* text) {
        std::size_t place = at_;
        for (; *text != '\0'; ++text, ++place) {
            if (place >= source_.size() || source_[place] != static_cast<unsigned char>(*text)) return false;
        }
        at_ = place;
        return true;
    }

    Node alternatives(bool fold) {
        std::vector<Node> nodes{sequence(fold)};
        while (accept("|")) nodes.push_back(sequence(fold));
        return [nodes](std::size_t place, const Next& next) {
            return std::any_of(nodes.begin(), nodes.end(),
                               [&](const Node& node) { return node(place, next); });
        };
    }

    Node sequence(bool fold) {
        Node result = [](std::size_t place, const Next& next) { return next(place); };
        while (at_ < source_.size() && !follows('|') && !follows(')')) {
            result = [first = result, second = quantified(fold)](std::size_t place, const Next& next) {
                return first(place, [&](std::size_t between) { return second(between, next); });
            };
        }
        return result;
    }

    Node quantified(bool fold) {
        const Node node = atom(fold);
        std::size_t least = 1;
        std::size_t most = 1;
        if (accept("?")) {
            least = 0;
        } else if (accept("*")) {
            least = 0;
            most = SIZE_MAX;
        } else if (accept("+")) {
            most = SIZE_MAX;
        } else if (accept("{1,3}")) {
            most = 3;
        } else {
            return node;
        }
        if (accept("+")) return possessive(node, least, most);
        return [=](std::size_t place, const Next& next) { return repeat(node, least, most, place, next); };
    }

    static bool repeat(const Node& node, std::size_t least, std::size_t most, std::size_t place,
                       const Next& next) {
        if (most > 0 && node(place, [&](std::size_t after) {
                return repeat(node, least == 0 ? 0 : least - 1, most == SIZE_MAX ? most : most - 1, after,
                              next);
            })) {
            return true;
        }
        return least == 0 && next(place);
    }

    static Node possessive(const Node& node, std::size_t least, std::size_t most) {
        return [=](std::size_t place, const Next& next) {
            std::size_t count = 0;
            const auto advance = [&](std::size_t after) {
                place = after;
                return true;
            };
            while (count < most && node(place, advance)) ++count;
            return count >= least && next(place);
        };
    }

    Node atom(bool fold) {
        if (accept("(?i:")) return closed(alternatives(true));
        if (accept("(?:")) return closed(alternatives(fold));
        if (accept("(?!")) {
            return [node = closed(alternatives(fold))](std::size_t place, const Next& next) {
                return !node(place, [](std::size_t) { return true; }) && next(place);
            };
        }
        if (accept("$")) {
            return
                [this](std::size_t place, const Next& next) { return place == text_.size() && next(place); };
        }
        return [this, test = follows('[') ? set(fold) : member(fold)](std::size_t place, const Next& next) {
            return place < text_.size() && test(text_[place]) && next(place + 1);
        };
    }

    Node closed(Node node) {
        check(accept(")"), "a group is closed");
        return node;
    }

    Test set(bool fold) {
        check(accept("["), "a set is open");
        const bool negated = accept("^");
        std::vector<Test> tests;
        while (!accept("]")) tests.push_back(member(fold));
        return [=](const CodePoint& point) {
            return negated !=
                   std::any_of(tests.begin(), tests.end(), [&](const Test& test) { return test(point); });
        };
    }

    // A character, a class, or a range of characters.
    Test member(bool fold) {
        using namespace bpe;
        // Upper and lower are both set for letters without case; see CharClass.
        const auto letters = [](bool is_upper, bool is_lower) {
            return [=](const CodePoint& point) {
                const unsigned classes = point.classes();
                return (classes & letter) != 0 && ((classes & upper) != 0) == is_upper &&
                       ((classes & lower) != 0) == is_lower;
            };
        };
        const auto of = [](unsigned wanted) {
            return [=](const CodePoint& point) { return (point.classes() & wanted) != 0; };
        };
        if (accept("\\p{L}")) return of(letter);
        if (accept("\\p{Lu}") || accept("\\p{Lt}")) return letters(true, false);
        if (accept("\\p{Ll}")) return letters(false, true);
        if (accept("\\p{Lm}") || accept("\\p{Lo}")) return letters(true, true);
        if (accept("\\p{M}")) return of(mark);
        if (accept("\\p{N}")) return of(digit);
        // A table without a bit for each: the patterns use the two only together.
        if (accept("\\p{P}\\p{S}")) return of(punct_symbol);
        if (accept("\\s")) return of(space);
        if (accept("\\S")) return [](const CodePoint& point) { return (point.classes() & space) == 0; };
        const std::uint32_t first = character();
        std::uint32_t last = first;
        if (at_ + 1 < source_.size() && follows('-') && source_[at_ + 1] != ']') {
            ++at_;
            last = character();
        }
        return [=](const CodePoint& point) {
            const auto folded = [=](std::uint32_t code) -> std::uint32_t {
                if (!fold) return code;
                if (code == 0x17f) return 's';
                return code >= 'A' && code <= 'Z' ? code + 32 : code;
            };
            const std::uint32_t code = folded(point.code);
            return folded(first) <= code && code <= folded(last);
        };
    }

    std::uint32_t character() {
        check(at_ < source_.size(), "a character follows");
        if (accept("\\r")) return '\r';
        if (accept("\\n")) return '\n';
        if (accept("\\")) check(at_ < source_.size() && source_[at_] < 0x80, "an escape follows");
        return source_[at_++];
    }

    std::vector<std::uint32_t> source_;
    std::size_t at_ = 0;
    Node root_;
    std::vector<CodePoint> text_;
};

}  // namespace fuzz
