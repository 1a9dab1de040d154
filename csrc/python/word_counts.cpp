#include "python/word_counts.hpp"

#include <pybind11/stl.h>

#include <stdexcept>
#include <utility>

#include "bpe/chunks.hpp"
#include "bpe/mapped_file.hpp"
#include "bpe/pack.hpp"
#include "python/jobs.hpp"
#include "python/pretokenize.hpp"
#include "python/registers.hpp"
#include "python/text.hpp"

namespace python {

WordCounts::WordCounts(const std::optional<std::string>& pattern, std::vector<std::string> specials)
    : pattern_(compiled_pattern(pattern)), specials_(std::move(specials)) {}

void WordCounts::add_file(const std::string& path, std::optional<std::size_t> num_threads,
                          const py::object& progress, std::size_t start, std::optional<std::size_t> stop) {
    const bpe::Tick tick = make_tick(progress);
    const py::gil_scoped_release release;
    const bpe::MappedFile file(path);
    const bpe::Bytes part = bpe::part_of(file.bytes(), specials_, start, stop);
    const auto pieces = bpe::split_into_chunks(part, specials_, piece_bytes);
    counts_.add_documents(pieces, needed_pattern(), specials_, threads_or_default(num_threads), tick);
}

void WordCounts::add_documents(const py::sequence& documents, std::optional<std::size_t> num_threads,
                               const py::object& progress) {
    const bpe::Pattern pattern = needed_pattern();
    const Texts texts(documents);
    // All threads share the work of a long document, too.
    std::vector<bpe::Bytes> pieces;
    for (const bpe::Bytes text : texts.bytes()) {
        const auto parts = bpe::split_into_chunks(text, specials_, piece_bytes);
        pieces.insert(pieces.end(), parts.begin(), parts.end());
    }
    const py::gil_scoped_release release;
    counts_.add_documents(pieces, pattern, specials_, threads_or_default(num_threads), make_tick(progress));
}

void WordCounts::add(const py::object& word, std::uint64_t count) {
    counts_.add(bpe::as_string(Text(word).bytes()), count);
}

void WordCounts::add_packed(const py::object& packed) {
    const Text block(packed);
    const py::gil_scoped_release release;
    bpe::unpack(block.bytes(), counts_);
}

py::bytes WordCounts::pack() {
    std::string packed;
    {
        const py::gil_scoped_release release;
        packed = bpe::pack(counts_);
    }
    return py::bytes(packed);
}

bpe::Pattern WordCounts::needed_pattern() const {
    if (!pattern_) throw std::logic_error("word counts without a pattern take ready-made words only");
    return *pattern_;
}

void register_word_counts(py::module_& module) {
    py::class_<WordCounts>(module, "WordCounts")
        .def(py::init<const std::optional<std::string>&, std::vector<std::string>>(), py::arg("pattern"),
             py::arg("special_tokens"))
        .def("add_file", &WordCounts::add_file, py::arg("path"), py::kw_only(), py::arg("num_threads"),
             py::arg("progress"), py::arg("start") = 0, py::arg("stop") = py::none())
        .def("add_documents", &WordCounts::add_documents, py::arg("documents"), py::kw_only(),
             py::arg("num_threads"), py::arg("progress"))
        .def("add", &WordCounts::add, py::arg("word"), py::arg("count"))
        .def("add_packed", &WordCounts::add_packed, py::arg("packed"))
        .def("pack", &WordCounts::pack)
        .def("__len__", &WordCounts::distinct)
        .def("total", &WordCounts::total);
}

}  // namespace python
