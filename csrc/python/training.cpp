// Binds bpe/train.hpp: merges from word counts.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bpe/train.hpp"
#include "bpe/vocabulary.hpp"
#include "python/jobs.hpp"
#include "python/registers.hpp"
#include "python/word_counts.hpp"

namespace python {
namespace {

constexpr std::size_t num_bytes = 256;

// Returns the tokens in the order of their ids; the merges, as pairs of these; and the merges once more as
// ids, an array of three rows: left, right and result.
py::tuple train(WordCounts& counts, std::size_t num_merges, std::optional<std::size_t> num_threads,
                const py::object& progress) {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> merges;
    {
        const py::gil_scoped_release release;
        merges = bpe::train(counts.engine(), num_merges, threads_or_default(num_threads), make_tick(progress))
                     .merges;
    }
    const std::size_t num_tokens = num_bytes + merges.size();
    py::list tokens(num_tokens);
    py::list pairs(merges.size());
    py::array_t<bpe::TokenId> ids({std::size_t{3}, merges.size()});
    auto rows = ids.mutable_unchecked<2>();
    const auto view = [&](std::size_t id) { return static_cast<std::string_view>(py::bytes(tokens[id])); };
    for (std::size_t byte = 0; byte < num_bytes; ++byte) {
        const auto value = static_cast<char>(byte);
        tokens[byte] = py::bytes(&value, 1);
    }
    std::string both;
    for (std::size_t number = 0; number < merges.size(); ++number) {
        const auto [left, right] = merges[number];
        both.assign(view(left)).append(view(right));
        const std::size_t made = num_bytes + number;
        tokens[made] = py::bytes(both);
        pairs[number] = py::make_tuple(tokens[left], tokens[right]);
        const auto column = static_cast<py::ssize_t>(number);
        rows(0, column) = left;
        rows(1, column) = right;
        rows(2, column) = static_cast<bpe::TokenId>(made);
    }
    return py::make_tuple(std::move(tokens), std::move(pairs), std::move(ids));
}

}  // namespace

void register_training(py::module_& module) {
    module.def("train", &train, py::arg("counts"), py::arg("num_merges"), py::kw_only(),
               py::arg("num_threads"), py::arg("progress"));
}

}  // namespace python
