// Binds bpe/ranks.hpp: merges recovered from ranked tokens.
#include "bpe/ranks.hpp"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string_view>
#include <vector>

#include "python/registers.hpp"

namespace python {

namespace py = pybind11;

void register_ranks(py::module_& module) {
    module.def(
        "recover_merges",
        [](const std::vector<py::bytes>& tokens) {
            const std::vector<std::string_view> views(tokens.begin(), tokens.end());
            const py::gil_scoped_release release;
            return bpe::recover_merges(views);
        },
        py::arg("tokens"));
}

}  // namespace python
