// Binds bpe/pack.hpp: word counts packed into bytes, merged and pruned without unpacking them.
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>

#include "bpe/pack.hpp"
#include "python/registers.hpp"
#include "python/text.hpp"

namespace python {

void register_packed_counts(py::module_& module) {
    module.def(
        "merge_packed",
        [](const py::sequence& objects) {
            const Texts blocks(objects);
            std::string merged;
            {
                const py::gil_scoped_release release;
                merged = bpe::merge_packed(blocks.bytes());
            }
            return py::bytes(merged);
        },
        py::arg("blocks"));
    module.def(
        "prune_packed",
        [](const py::object& packed, std::uint64_t max_words) {
            const Text block(packed);
            bpe::Pruned pruned;
            {
                const py::gil_scoped_release release;
                pruned = bpe::prune_packed(block.bytes(), max_words);
            }
            return py::make_tuple(py::bytes(pruned.packed), pruned.largest_dropped, pruned.total_dropped);
        },
        py::arg("packed"), py::arg("max_words"));
}

}  // namespace python
