// Token ids as NumPy arrays.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <span>

#include "bpe/id_buffer.hpp"

namespace python {

namespace py = pybind11;

// Hands the memory over to NumPy instead of copying it.
template <class Id>
py::array to_numpy(bpe::IdArray<Id> ids) {
    Id* const data = ids.data.release();
    const py::capsule owner(data, [](void* memory) { std::free(memory); });
    return py::array_t<Id>(static_cast<py::ssize_t>(ids.size), data, owner);
}

// A copy of a few ids, as Id.
template <class Id>
py::array to_numpy(std::span<const bpe::TokenId> ids) {
    py::array_t<Id> array(static_cast<py::ssize_t>(ids.size()));
    std::ranges::transform(ids, array.mutable_data(), [](bpe::TokenId id) { return static_cast<Id>(id); });
    return array;
}

}  // namespace python
