// Text from Python, read in place.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <vector>

#include "bpe/bytes.hpp"

namespace python {

namespace py = pybind11;

// The UTF-8 bytes of a str, or those of a bytes-like object, without a copy. Keeps the object alive.
class Text {
  public:
    // Raises TypeError for other objects and UnicodeEncodeError for a lone surrogate.
    explicit Text(const py::handle& object);

    bpe::Bytes bytes() const { return bytes_; }

  private:
    py::object owner_;
    std::unique_ptr<py::buffer_info> buffer_;
    bpe::Bytes bytes_;
};

// A sequence of such objects.
class Texts {
  public:
    explicit Texts(const py::sequence& objects);

    const std::vector<bpe::Bytes>& bytes() const { return bytes_; }

  private:
    std::vector<Text> texts_;
    std::vector<bpe::Bytes> bytes_;
};

}  // namespace python
