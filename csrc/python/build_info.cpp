// How the engine was compiled, and how many threads it uses by default.
#include <pybind11/pybind11.h>

#include "bpe/parallel.hpp"
#include "bpe/unicode.hpp"
#include "python/registers.hpp"

namespace python {

namespace py = pybind11;

void register_build_info(py::module_& module) {
    module.def("default_num_threads", &bpe::default_num_threads);
    module.def("build_info", [] {
        py::dict info;
#if defined(__clang__)
        info["compiler"] = "clang " __clang_version__;
#else
        info["compiler"] = "gcc " __VERSION__;
#endif
#if defined(NDEBUG)
        info["assertions"] = false;
#else
        info["assertions"] = true;
#endif
        info["cxx_standard"] = __cplusplus;
        info["unicode_version"] = bpe::unicode::version;
        return info;
    });
}

}  // namespace python
