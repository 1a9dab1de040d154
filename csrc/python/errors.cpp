// What Python raises for the engine's exceptions. pybind11 itself knows the standard ones: ValueError for
// std::invalid_argument and std::length_error, MemoryError for std::bad_alloc.
#include <pybind11/pybind11.h>

#include <exception>
#include <system_error>

#include "bpe/parallel.hpp"
#include "python/registers.hpp"

namespace python {

namespace py = pybind11;

void register_errors() {
    // NOLINTNEXTLINE(performance-unnecessary-value-param): pybind11 asks for this signature
    py::register_exception_translator([](std::exception_ptr error) {
        try {
            if (error) std::rethrow_exception(error);
        } catch (const std::system_error& failure) {
            // OSError picks the subclass (FileNotFoundError, ...) by the error number.
            const py::object os_error = py::module_::import("builtins").attr("OSError");
            const py::object value =
                os_error(failure.code().value(), failure.code().message(), failure.what());
            PyErr_SetObject(py::type::of(value).ptr(), value.ptr());
        } catch (const bpe::Cancelled&) {
            PyErr_SetNone(PyExc_KeyboardInterrupt);
        }
    });
}

}  // namespace python
