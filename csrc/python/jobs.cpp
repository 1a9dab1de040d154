#include "python/jobs.hpp"

namespace python {

bpe::Tick make_tick(const py::object& progress, std::uint64_t offset, std::optional<std::uint64_t> whole) {
    return [&progress, offset, whole](std::uint64_t done, std::uint64_t total) {
        const py::gil_scoped_acquire acquire;
        if (PyErr_CheckSignals() != 0) throw py::error_already_set();
        if (!progress.is_none()) progress(offset + done, whole.value_or(total));
        return true;
    };
}

std::size_t threads_or_default(std::optional<std::size_t> num_threads) {
    return num_threads.value_or(bpe::default_num_threads());
}

}  // namespace python
