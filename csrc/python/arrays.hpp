// Token ids as Python lists and NumPy arrays.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "bpe/id_buffer.hpp"

namespace python {

namespace py = pybind11;

// Fills a part of a new list, from `place` on. Returns the place after it.
template <class Id>
Py_ssize_t fill(py::list& list, Py_ssize_t place, std::span<const Id> ids) {
    for (const Id id : ids) {
        PyObject* const item = PyLong_FromUnsignedLong(id);
        if (item == nullptr) throw py::error_already_set();
        PyList_SET_ITEM(list.ptr(), place++, item);
    }
    return place;
}

template <class Id>
py::list to_list(std::span<const Id> ids) {
    py::list list(ids.size());
    fill(list, 0, ids);
    return list;
}

template <class Id>
std::size_t total_size(const std::vector<bpe::IdArray<Id>>& parts) {
    std::size_t size = 0;
    for (const auto& part : parts) size += part.size;
    return size;
}

// One list of the ids of all parts.
template <class Id>
py::list to_list(const std::vector<bpe::IdArray<Id>>& parts) {
    py::list list(total_size(parts));
    Py_ssize_t place = 0;
    for (const auto& part : parts) place = fill(list, place, part.span());
    return list;
}

// Hands the memory over to NumPy instead of copying it.
template <class Id>
py::array to_numpy(bpe::IdArray<Id> ids) {
    Id* const data = ids.data.release();
    const py::capsule owner(data, [](void* pointer) { delete[] static_cast<Id*>(pointer); });
    return py::array_t<Id>(static_cast<py::ssize_t>(ids.size), data, owner);
}

// One array of the ids of all parts.
template <class Id>
py::array to_numpy(const std::vector<bpe::IdArray<Id>>& parts) {
    bpe::IdArray<Id> whole(total_size(parts));
    Id* at = whole.data.get();
    for (const auto& part : parts) at = std::ranges::copy(part.span(), at).out;
    return to_numpy(std::move(whole));
}

}  // namespace python
