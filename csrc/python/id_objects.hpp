// Token ids as Python lists.
#pragma once

#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "bpe/vocabulary.hpp"

namespace python {

namespace py = pybind11;

// Makes one int object for an id and shares it between all lists: a new reference takes a fraction of the
// time of a new object, and a list 8 bytes for an id instead of 40. The table has 8 bytes for each
// number up to the largest id, and an object of 32 bytes for each id that has occurred (o200k: 1.6 MB and up
// to 6.4 MB). Ids from 2^20 on, which only vocabularies with gaps have, get a new object each time. Whoever
// uses or destroys it holds the interpreter lock.
class IdObjects {
  public:
    // For ids below `count`.
    explicit IdObjects(std::size_t count) : objects_(std::min(count, std::size_t{1} << 20)) {}
    ~IdObjects() {
        for (PyObject* object : objects_) Py_XDECREF(object);
    }
    IdObjects(const IdObjects&) = delete;
    IdObjects& operator=(const IdObjects&) = delete;

    py::list list(std::span<const bpe::TokenId> ids) {
        py::list list(ids.size());
        Py_ssize_t place = 0;
        for (const bpe::TokenId id : ids) {
            if (id >= objects_.size()) [[unlikely]] {
                PyList_SET_ITEM(list.ptr(), place++, make(id));
                continue;
            }
            PyObject*& object = objects_[id];
            if (object == nullptr) [[unlikely]]
                object = make(id);
            Py_INCREF(object);
            PyList_SET_ITEM(list.ptr(), place++, object);
        }
        return list;
    }

  private:
    static PyObject* make(bpe::TokenId id) {
        PyObject* const object = PyLong_FromLong(static_cast<long>(id));
        if (object == nullptr) throw py::error_already_set();
        return object;
    }

    std::vector<PyObject*> objects_;  // null until the id occurs
};

}  // namespace python
