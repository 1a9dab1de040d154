// Binds the encoding of files: an iterator over arrays of ids.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bpe/chunks.hpp"
#include "bpe/encode.hpp"
#include "bpe/mapped_file.hpp"
#include "python/arrays.hpp"
#include "python/encoder.hpp"
#include "python/jobs.hpp"
#include "python/registers.hpp"

namespace python {

namespace py = pybind11;

namespace {

// Encodes a file, or a part of it, window by window: all threads work on one window, and its ids are handed
// out before the next one, so that memory stays bounded however large the file is.
class FileEncoder {
  public:
    FileEncoder(const Encoder& encoder, const std::string& path, std::optional<std::size_t> num_threads,
                py::object progress, std::size_t start, std::optional<std::size_t> stop)
        : encoder_(encoder),
          file_(path),
          num_threads_(threads_or_default(num_threads)),
          progress_(std::move(progress)),
          rest_(bpe::part_of(file_.bytes(), encoder_.engine().specials(), start, stop)),
          total_bytes_(rest_.size()) {}

    py::array next() {
        if (rest_.empty()) throw py::stop_iteration();
        return encoder_.narrow() ? next_as<std::uint16_t>() : next_as<std::uint32_t>();
    }

  private:
    static constexpr std::size_t window_bytes = std::size_t{32} << 20;

    template <class Id>
    py::array next_as() {
        bpe::IdArray<Id> ids;
        {
            const std::uint64_t offset = total_bytes_ - rest_.size();
            const bpe::Tick tick = make_tick(progress_, offset, total_bytes_);
            const py::gil_scoped_release release;
            ids = encoder_.engine().encode_all<Id>(take_window(), true, num_threads_, tick).ids;
            file_.release_before(rest_.data());
        }
        return to_numpy(std::move(ids));
    }

    std::vector<bpe::Bytes> take_window() {
        std::vector<bpe::Bytes> pieces;
        std::size_t taken = 0;
        while (!rest_.empty() && taken < window_bytes) {
            pieces.push_back(bpe::next_chunk(rest_, encoder_.engine().specials(), piece_bytes));
            rest_ = rest_.subspan(pieces.back().size());
            taken += pieces.back().size();
        }
        return pieces;
    }

    Encoder encoder_;
    bpe::MappedFile file_;
    std::size_t num_threads_;
    py::object progress_;
    bpe::Bytes rest_;
    std::size_t total_bytes_;
};

}  // namespace

void register_file_encoder(py::module_& module) {
    py::class_<FileEncoder>(module, "FileEncoder")
        .def(py::init<const Encoder&, const std::string&, std::optional<std::size_t>, py::object, std::size_t,
                      std::optional<std::size_t>>(),
             py::arg("encoder"), py::arg("path"), py::kw_only(), py::arg("num_threads"), py::arg("progress"),
             py::arg("start") = 0, py::arg("stop") = py::none())
        .def("__iter__", [](const py::object& self) { return self; })
        .def("__next__", &FileEncoder::next);
}

}  // namespace python
