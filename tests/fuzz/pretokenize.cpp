// The scanners against a regular-expression matcher that reads the published patterns. COURSE_PATTERNS names
// a file with one pattern a line: its name, a tab, the expression (tests/fuzz/__main__.py writes it).
#include <map>
#include <memory>

#include "fuzz.hpp"
#include "regex_reference.hpp"

namespace {

using Expressions = std::map<bpe::Pattern, std::unique_ptr<fuzz::Expression>>;

Expressions read_expressions() {
    const char* path = std::getenv("COURSE_PATTERNS");
    fuzz::check(path != nullptr, "COURSE_PATTERNS is set");
    std::ifstream file(path);
    Expressions result;
    for (std::string line; std::getline(file, line);) {
        const std::size_t tab = line.find('\t');
        const auto pattern = bpe::pattern_from_name(std::string_view(line).substr(0, tab));
        fuzz::check(pattern.has_value(), "every pattern has a scanner");
        result[*pattern] = std::make_unique<fuzz::Expression>(line.substr(tab + 1));
    }
    fuzz::check(result.size() == fuzz::patterns.size(), "the file holds every pattern");
    return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const Expressions expressions = read_expressions();
    fuzz::Input input(data, size);
    const bpe::Pattern pattern = fuzz::patterns[input.number(fuzz::patterns.size())];
    constexpr std::array<std::size_t, 4> capacities = {256, 64, 63, 1};
    const std::size_t capacity = capacities[input.number(capacities.size())];
    const std::vector<std::uint8_t> text = input.rest();
    const std::vector<bpe::Bytes> expected = expressions.at(pattern)->pieces(text);
    for (const bpe::BlockCutter cutter : bpe::available_block_cutters()) {
        const std::vector<bpe::Bytes> found = fuzz::pretokens(pattern, text, capacity, cutter);
        fuzz::check(std::ranges::equal(expected, found, {}, &bpe::Bytes::size, &bpe::Bytes::size),
                    "the scanner cuts as the pattern does");
    }
    return 0;
}
