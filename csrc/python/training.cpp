// Binds bpe/train.hpp: merges from word counts.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstddef>
#include <optional>
#include <utility>

#include "bpe/timer.hpp"
#include "bpe/train.hpp"
#include "python/jobs.hpp"
#include "python/registers.hpp"
#include "python/word_counts.hpp"

namespace python {
namespace {

// Returns the merges, and for each phase its wall and CPU seconds.
py::tuple train(WordCounts& counts, std::size_t num_merges, std::optional<std::size_t> num_threads,
                const py::object& progress) {
    bpe::TrainResult result;
    {
        const py::gil_scoped_release release;
        result =
            bpe::train(counts.engine(), num_merges, threads_or_default(num_threads), make_tick(progress));
    }
    const auto seconds = [](const bpe::PhaseTime& time) {
        return py::make_tuple(time.wall_seconds, time.cpu_seconds);
    };
    py::dict phases;
    phases["counting"] = seconds(result.counting);
    phases["indexing"] = seconds(result.indexing);
    phases["merging"] = seconds(result.merging);
    return py::make_tuple(std::move(result.merges), std::move(phases));
}

}  // namespace

void register_training(py::module_& module) {
    module.def("train", &train, py::arg("counts"), py::arg("num_merges"), py::kw_only(),
               py::arg("num_threads"), py::arg("progress"));
}

}  // namespace python
