// Binds bpe/train.hpp: merges from word counts.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "bpe/train.hpp"
#include "python/jobs.hpp"
#include "python/registers.hpp"
#include "python/word_counts.hpp"

namespace python {
namespace {

std::vector<std::pair<std::uint32_t, std::uint32_t>> train(WordCounts& counts, std::size_t num_merges, std::optional<std::size_t> num_threads,
                const py::object& progress) {
    const py::gil_scoped_release release;
    return bpe::train(counts.engine(), num_merges, threads_or_default(num_threads), make_tick(progress))
        .merges;
}

}  // namespace

void register_training(py::module_& module) {
    module.def("train", &train, py::arg("counts"), py::arg("num_merges"), py::kw_only(),
               py::arg("num_threads"), py::arg("progress"));
}

}  // namespace python
