// How calls that may take long share the interpreter: its lock, Ctrl-C, progress, threads.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <optional>

#include "bpe/parallel.hpp"

namespace python {

namespace py = pybind11;

// Work is handed to threads in pieces of this size: large enough to keep a thread's cache busy, small enough
// that the ids of a piece stay in the processor's own cache.
constexpr std::size_t piece_bytes = std::size_t{1} << 18;

// Makes a tick that checks for Ctrl-C and reports to `progress`, unless that is None. Where the job is one
// part of a longer one, `offset` is what was done before it and `whole` the total. The tick takes the
// interpreter lock itself; `progress` must outlive it.
bpe::Tick make_tick(const py::object& progress, std::uint64_t offset = 0,
                    std::optional<std::uint64_t> whole = {});

std::size_t threads_or_default(std::optional<std::size_t> num_threads);

// Calls `function`, which uses no Python object. Other Python threads run meanwhile, unless the text is so
// short that the call ends before another thread could take the interpreter lock.
template <class Function>
void without_gil(std::size_t text_bytes, const Function& function) {
    constexpr std::size_t min_bytes_to_release = std::size_t{1} << 12;
    if (text_bytes < min_bytes_to_release) {
        function();
    } else {
        const py::gil_scoped_release release;
        function();
    }
}

}  // namespace python
