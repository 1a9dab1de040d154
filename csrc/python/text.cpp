#include "python/text.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

namespace python {

Text::Text(const py::handle& object) {
    if (PyUnicode_Check(object.ptr()) != 0) {
        Py_ssize_t size = 0;
        const char* const data = PyUnicode_AsUTF8AndSize(object.ptr(), &size);
        if (data == nullptr) throw py::error_already_set();  // a lone surrogate
        bytes_ = bpe::as_bytes({data, static_cast<std::size_t>(size)});
        owner_ = py::reinterpret_borrow<py::object>(object);
    } else if (PyObject_CheckBuffer(object.ptr()) != 0) {
        buffer_ = std::make_unique<py::buffer_info>(py::reinterpret_borrow<py::buffer>(object).request());
        if (buffer_->itemsize != 1 || buffer_->ndim != 1 || (buffer_->size > 1 && buffer_->strides[0] != 1)) {
            throw py::type_error("text must be str or contiguous bytes");
        }
        bytes_ = {static_cast<const std::uint8_t*>(buffer_->ptr), static_cast<std::size_t>(buffer_->size)};
    } else {
        throw py::type_error("text must be str or bytes, not " +
                             py::str(py::type::of(object).attr("__name__")).cast<std::string>());
    }
}

Texts::Texts(const py::sequence& objects) {
    texts_.reserve(objects.size());
    bytes_.reserve(objects.size());
    for (const py::handle object : objects) bytes_.push_back(texts_.emplace_back(object).bytes());
}

}  // namespace python
