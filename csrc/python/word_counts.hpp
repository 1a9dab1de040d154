// The Python view of bpe::WordCounts.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bpe/count.hpp"
#include "bpe/pretokenize.hpp"
#include "bpe/special.hpp"

namespace python {

namespace py = pybind11;

class WordCounts {
  public:
    WordCounts(const std::optional<std::string>& pattern, std::vector<std::string> specials);

    void add_file(const std::string& path, std::optional<std::size_t> num_threads, const py::object& progress,
                  std::size_t start, std::optional<std::size_t> stop);
    void add_documents(const py::sequence& documents, std::optional<std::size_t> num_threads,
                       const py::object& progress);
    void add(const py::object& word, std::uint64_t count);
    void add_packed(const py::object& packed);
    py::bytes pack();

    std::size_t distinct() { return counts_.distinct(); }
    std::uint64_t total() const { return counts_.total(); }
    bpe::WordCounts& engine() { return counts_; }

  private:
    bpe::Pattern needed_pattern() const;

    std::optional<bpe::Pattern> pattern_;
    bpe::SpecialTokens specials_;
    bpe::WordCounts counts_;
};

}  // namespace python
