// The Python face of the engine: course_lib._bpe. The only file that includes Python.
#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "bpe/chunks.hpp"
#include "bpe/count.hpp"
#include "bpe/encode.hpp"
#include "bpe/mapped_file.hpp"
#include "bpe/pack.hpp"
#include "bpe/parallel.hpp"
#include "bpe/pretokenize.hpp"
#include "bpe/ranks.hpp"
#include "bpe/special.hpp"
#include "bpe/train.hpp"
#include "bpe/vocabulary.hpp"

namespace py = pybind11;

namespace {

// Below this size a call is over before another thread could have used the interpreter lock.
constexpr std::size_t worth_releasing = std::size_t{1} << 12;

// Texts from here on are encoded in pieces, so that Ctrl-C stops them.
constexpr std::size_t worth_watching = std::size_t{4} << 20;

// One piece of work for one thread: large enough to keep its cache busy, small enough that the ids of a piece
// stay in the processor's own cache.
constexpr std::size_t chunk_bytes = std::size_t{1} << 18;

std::string_view as_string(bpe::Bytes bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bpe::Bytes as_bytes(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// The UTF-8 bytes of a str, or those of a bytes-like object, without a copy; alive as long as this is.
class Text {
  public:
    explicit Text(const py::handle& object) {
        if (PyUnicode_Check(object.ptr()) != 0) {
            Py_ssize_t size = 0;
            const char* const data = PyUnicode_AsUTF8AndSize(object.ptr(), &size);
            if (data == nullptr) throw py::error_already_set();  // a lone surrogate
            bytes_ = as_bytes({data, static_cast<std::size_t>(size)});
            owner_ = py::reinterpret_borrow<py::object>(object);
        } else if (PyObject_CheckBuffer(object.ptr()) != 0) {
            buffer_ = std::make_unique<py::buffer_info>(py::reinterpret_borrow<py::buffer>(object).request());
            if (buffer_->itemsize != 1 || buffer_->ndim != 1 ||
                (buffer_->size > 1 && buffer_->strides[0] != 1)) {
                throw py::type_error("text must be str or contiguous bytes");
            }
            bytes_ = {static_cast<const std::uint8_t*>(buffer_->ptr),
                      static_cast<std::size_t>(buffer_->size)};
        } else {
            throw py::type_error("text must be str or bytes, not " +
                                 py::str(py::type::of(object).attr("__name__")).cast<std::string>());
        }
    }

    bpe::Bytes bytes() const { return bytes_; }

  private:
    py::object owner_;
    std::unique_ptr<py::buffer_info> buffer_;
    bpe::Bytes bytes_;
};

// Looks for Ctrl-C and reports to `progress`, if there is one. `offset` and `whole` place the ticks of one
// part within a longer job.
bpe::Tick make_tick(const py::object& progress, std::uint64_t offset = 0,
                    std::optional<std::uint64_t> whole = {}) {
    return [&progress, offset, whole](std::uint64_t done, std::uint64_t total) {
        const py::gil_scoped_acquire acquire;
        if (PyErr_CheckSignals() != 0) throw py::error_already_set();
        if (!progress.is_none()) progress(offset + done, whole.value_or(total));
        return true;
    };
}

// What a job on the bytes from `start` to `stop` (by default the end) of a mapped file has to work on.
bpe::Bytes part_of(const bpe::MappedFile& file, const bpe::SpecialTokens& specials, std::size_t start,
                   std::optional<std::size_t> stop) {
    return bpe::part_of(file.bytes(), specials, start, stop.value_or(file.bytes().size()));
}

std::size_t threads_or_default(std::optional<std::size_t> num_threads) {
    return num_threads.value_or(bpe::default_num_threads());
}

std::optional<bpe::Pattern> compiled_pattern(const std::optional<std::string>& name) {
    if (!name) return std::nullopt;
    const auto pattern = bpe::pattern_from_name(*name);
    if (!pattern) throw py::value_error("no compiled scanner for the pattern '" + *name + "'");
    return pattern;
}

template <class Function>
void without_gil(std::size_t bytes, const Function& function) {
    if (bytes < worth_releasing) {
        function();
    } else {
        const py::gil_scoped_release release;
        function();
    }
}

template <class Id>
py::list to_list(std::span<const Id> ids) {
    py::list list(ids.size());
    for (std::size_t k = 0; k < ids.size(); ++k) {
        PyList_SET_ITEM(list.ptr(), static_cast<Py_ssize_t>(k), PyLong_FromUnsignedLong(ids[k]));
    }
    return list;
}

// Hands the memory over to NumPy instead of copying it.
template <class Id>
py::array to_numpy(bpe::IdArray<Id> ids) {
    Id* const data = ids.data.release();
    const py::capsule owner(data, [](void* pointer) { delete[] static_cast<Id*>(pointer); });
    return py::array_t<Id>(static_cast<py::ssize_t>(ids.size), data, owner);
}

// The Python view of bpe::Encoder.
class Encoder {
  public:
    Encoder(const std::vector<std::pair<bpe::TokenId, py::bytes>>& tokens,
            const std::vector<std::array<bpe::TokenId, 3>>& merges,
            const std::vector<std::pair<std::string, bpe::TokenId>>& specials,
            const std::array<bpe::TokenId, 256>& byte_ids, const std::vector<bpe::TokenId>& whole_tokens,
            const std::optional<std::string>& pattern)
        : encoder_(make(tokens, merges, specials, byte_ids, whole_tokens, pattern)) {}

    py::list encode(const py::object& object, bool with_specials) const {
        const Text text(object);
        if (text.bytes().size() >= worth_watching) {
            const auto parts = encode_watched<std::uint32_t>(text.bytes(), with_specials);
            std::size_t count = 0;
            for (const auto& part : parts) count += part.size;
            py::list list(count);
            Py_ssize_t at = 0;
            for (const auto& part : parts) {
                for (std::size_t k = 0; k < part.size; ++k) {
                    PyList_SET_ITEM(list.ptr(), at++, PyLong_FromUnsignedLong(part.data[k]));
                }
            }
            return list;
        }
        bpe::IdBuffer ids;
        without_gil(text.bytes().size(), [&] { encoder_->encode(text.bytes(), with_specials, ids); });
        return to_list(std::span(ids.data(), ids.size()));
    }

    py::array encode_numpy(const py::object& object, bool with_specials) const {
        return narrow() ? encode_numpy_as<std::uint16_t>(object, with_specials)
                        : encode_numpy_as<std::uint32_t>(object, with_specials);
    }

    py::list encode_batch(const py::sequence& objects, bool with_specials,
                          std::optional<std::size_t> num_threads, const py::object& progress) const {
        std::vector<Text> texts;
        std::vector<bpe::Bytes> views;
        texts.reserve(objects.size());
        for (const py::handle object : objects) views.push_back(texts.emplace_back(object).bytes());
        std::vector<bpe::IdArray<std::uint32_t>> results;
        {
            const py::gil_scoped_release release;
            results = encoder_->encode_all<std::uint32_t>(
                views, with_specials, threads_or_default(num_threads), make_tick(progress));
        }
        py::list lists(results.size());
        for (std::size_t k = 0; k < results.size(); ++k) {
            lists[k] = to_list(std::span<const std::uint32_t>(results[k].data.get(), results[k].size));
        }
        return lists;
    }

    py::list encode_pretokens(const py::sequence& objects) const {
        std::vector<Text> texts;
        std::vector<bpe::Bytes> views;
        texts.reserve(objects.size());
        for (const py::handle object : objects) views.push_back(texts.emplace_back(object).bytes());
        bpe::IdBuffer ids;
        {
            const py::gil_scoped_release release;
            encoder_->encode_pretokens(views, ids);
        }
        return to_list(std::span(ids.data(), ids.size()));
    }

    std::size_t safe_cut(const py::object& object) const {
        const Text text(object);
        return bpe::last_safe_cut(text.bytes(), encoder_->specials());
    }

    py::bytes decode(const py::object& ids) const {
        std::string bytes;
        const bpe::Vocabulary& vocabulary = encoder_->vocabulary();
        const auto append = [&](std::int64_t id, std::size_t place) {
            if (id < 0 || id > bpe::Vocabulary::max_id ||
                !vocabulary.contains(static_cast<bpe::TokenId>(id))) {
                throw py::value_error("unknown token id " + std::to_string(id) + " at position " +
                                      std::to_string(place) + ": the vocabulary has ids below " +
                                      std::to_string(vocabulary.size()));
            }
            bytes += vocabulary.bytes(static_cast<bpe::TokenId>(id));
        };
        if (py::isinstance<py::array>(ids)) {
            const auto array = py::reinterpret_borrow<py::array>(ids);
            if (array.ndim() != 1 || (array.dtype().kind() != 'u' && array.dtype().kind() != 'i')) {
                throw py::type_error("ids must be a one-dimensional array of integers");
            }
            const auto wide =
                py::array_t<std::int64_t, py::array::c_style | py::array::forcecast>::ensure(array);
            if (!wide) throw py::error_already_set();
            for (py::ssize_t k = 0; k < wide.size(); ++k) append(wide.at(k), static_cast<std::size_t>(k));
        } else {
            std::size_t place = 0;
            for (const py::handle item : py::iter(ids)) {
                const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(item.ptr()));
                if (!index) throw py::error_already_set();
                int overflow = 0;
                const long long id = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
                append(overflow != 0 ? -1 : id, place++);
            }
        }
        return py::bytes(bytes);
    }

    bool narrow() const { return encoder_->vocabulary().size() <= std::size_t{1} << 16; }
    const std::shared_ptr<const bpe::Encoder>& engine() const { return encoder_; }

  private:
    static std::shared_ptr<const bpe::Encoder> make(
        const std::vector<std::pair<bpe::TokenId, py::bytes>>& tokens,
        const std::vector<std::array<bpe::TokenId, 3>>& merges,
        const std::vector<std::pair<std::string, bpe::TokenId>>& specials,
        const std::array<bpe::TokenId, 256>& byte_ids, const std::vector<bpe::TokenId>& whole_tokens,
        const std::optional<std::string>& pattern) {
        std::vector<bpe::Vocabulary::Entry> entries;
        entries.reserve(tokens.size());
        for (const auto& [id, bytes] : tokens) entries.push_back({id, bytes});
        std::vector<bpe::Merge> rules;
        rules.reserve(merges.size());
        for (const auto& [left, right, result] : merges) rules.push_back({left, right, result});
        std::vector<std::string> names;
        std::vector<bpe::TokenId> ids;
        for (const auto& [name, id] : specials) {
            names.push_back(name);
            ids.push_back(id);
        }
        return std::make_shared<const bpe::Encoder>(
            bpe::Vocabulary(std::move(entries), rules, byte_ids, whole_tokens),
            bpe::SpecialTokens(std::move(names)), std::move(ids), compiled_pattern(pattern));
    }

    // One thread, in pieces that give the interpreter a chance to look for Ctrl-C.
    template <class Id>
    std::vector<bpe::IdArray<Id>> encode_watched(bpe::Bytes text, bool with_specials) const {
        const py::object no_progress = py::none();
        const py::gil_scoped_release release;
        const auto chunks = bpe::split_into_chunks(
            text, with_specials ? encoder_->specials() : bpe::SpecialTokens(), chunk_bytes);
        return encoder_->encode_all<Id>(chunks, with_specials, 1, make_tick(no_progress));
    }

    template <class Id>
    py::array encode_numpy_as(const py::object& object, bool with_specials) const {
        const Text text(object);
        bpe::IdArray<Id> whole;
        if (text.bytes().size() >= worth_watching) {
            const auto parts = encode_watched<Id>(text.bytes(), with_specials);
            for (const auto& part : parts) whole.size += part.size;
            whole.data = std::make_unique_for_overwrite<Id[]>(whole.size);
            Id* at = whole.data.get();
            for (const auto& part : parts) at = std::copy_n(part.data.get(), part.size, at);
        } else {
            bpe::IdBuffer ids;
            without_gil(text.bytes().size(), [&] { encoder_->encode(text.bytes(), with_specials, ids); });
            whole.size = ids.size();
            whole.data = std::make_unique_for_overwrite<Id[]>(whole.size);
            std::transform(ids.data(), ids.data() + ids.size(), whole.data.get(),
                           [](bpe::TokenId id) { return static_cast<Id>(id); });
        }
        return to_numpy(std::move(whole));
    }

    std::shared_ptr<const bpe::Encoder> encoder_;
};

// Encodes a file, or a part of it, window by window: all threads work on one window, whose ids are then
// handed out, so that memory stays bounded however large the file is.
class FileEncoder {
  public:
    FileEncoder(const Encoder& encoder, const std::string& path, std::optional<std::size_t> num_threads,
                py::object progress, std::size_t start, std::optional<std::size_t> stop)
        : encoder_(encoder),
          file_(path),
          num_threads_(threads_or_default(num_threads)),
          progress_(std::move(progress)),
          rest_(part_of(file_, encoder_.engine()->specials(), start, stop)),
          total_bytes_(rest_.size()) {}

    py::list next() {
        if (rest_.empty()) throw py::stop_iteration();
        return encoder_.narrow() ? next_as<std::uint16_t>() : next_as<std::uint32_t>();
    }

  private:
    static constexpr std::size_t window_bytes = std::size_t{32} << 20;

    template <class Id>
    py::list next_as() {
        std::vector<bpe::IdArray<Id>> results;
        {
            const std::uint64_t offset = total_bytes_ - rest_.size();
            const bpe::Tick tick = make_tick(progress_, offset, total_bytes_);
            const py::gil_scoped_release release;
            std::vector<bpe::Bytes> chunks;
            std::size_t taken = 0;
            while (!rest_.empty() && taken < window_bytes) {
                chunks.push_back(bpe::next_chunk(rest_, encoder_.engine()->specials(), chunk_bytes));
                rest_ = rest_.subspan(chunks.back().size());
                taken += chunks.back().size();
            }
            results = encoder_.engine()->encode_all<Id>(chunks, true, num_threads_, tick);
            file_.release_before(rest_.data());
        }
        py::list arrays;
        for (auto& result : results) arrays.append(to_numpy(std::move(result)));
        return arrays;
    }

    Encoder encoder_;
    bpe::MappedFile file_;
    std::size_t num_threads_;
    py::object progress_;
    bpe::Bytes rest_;
    std::size_t total_bytes_;
};

// The Python view of bpe::WordCounts.
class WordCounts {
  public:
    WordCounts(const std::optional<std::string>& pattern, std::vector<std::string> specials)
        : pattern_(compiled_pattern(pattern)), specials_(std::move(specials)) {}

    void add_file(const std::string& path, std::optional<std::size_t> num_threads, const py::object& progress,
                  std::size_t start, std::optional<std::size_t> stop) {
        const bpe::Tick tick = make_tick(progress);
        const py::gil_scoped_release release;
        const bpe::MappedFile file(path);
        const bpe::Bytes part = part_of(file, specials_, start, stop);
        const auto chunks = bpe::split_into_chunks(part, specials_, chunk_bytes);
        counts_.add_documents(chunks, needed_pattern(), specials_, threads_or_default(num_threads), tick);
    }

    void add_documents(const py::sequence& objects, std::optional<std::size_t> num_threads,
                       const py::object& progress) {
        const bpe::Pattern pattern = needed_pattern();
        std::vector<Text> texts;
        std::vector<bpe::Bytes> views;
        texts.reserve(objects.size());
        for (const py::handle object : objects) {
            // One long document is work for all threads, too.
            const bpe::Bytes text = texts.emplace_back(object).bytes();
            const auto chunks = bpe::split_into_chunks(text, specials_, chunk_bytes);
            views.insert(views.end(), chunks.begin(), chunks.end());
        }
        const py::gil_scoped_release release;
        counts_.add_documents(views, pattern, specials_, threads_or_default(num_threads),
                              make_tick(progress));
    }

    void add(const py::object& word, std::uint64_t count) {
        counts_.add(as_string(Text(word).bytes()), count);
    }

    void add_packed(const py::object& packed) {
        const Text block(packed);
        const py::gil_scoped_release release;
        bpe::unpack(block.bytes(), counts_);
    }

    py::bytes pack() {
        std::string packed;
        {
            const py::gil_scoped_release release;
            packed = bpe::pack(counts_);
        }
        return py::bytes(packed);
    }

    std::size_t distinct() { return counts_.distinct(); }
    std::uint64_t total() const { return counts_.total(); }
    bpe::WordCounts& engine() { return counts_; }

  private:
    bpe::Pattern needed_pattern() const {
        if (!pattern_) throw std::logic_error("word counts without a pattern take ready-made words only");
        return *pattern_;
    }

    std::optional<bpe::Pattern> pattern_;
    bpe::SpecialTokens specials_;
    bpe::WordCounts counts_;
};

py::list pretokenize(const py::object& object, const std::string& name) {
    const bpe::Pattern pattern = *compiled_pattern(name);
    const Text text(object);
    const bool as_str = PyUnicode_Check(object.ptr()) != 0;
    const std::uint8_t* begin = text.bytes().data();
    const std::uint8_t* const end = begin + text.bytes().size();
    std::array<const std::uint8_t*, 256> ends;
    py::list pieces;
    while (begin < end) {
        const std::size_t count = bpe::pretokenize(pattern, begin, end, ends.data(), ends.size());
        for (std::size_t k = 0; k < count; ++k) {
            const std::string_view piece = as_string({begin, ends[k]});
            if (as_str) {
                pieces.append(py::str(piece.data(), piece.size()));
            } else {
                pieces.append(py::bytes(piece.data(), piece.size()));
            }
            begin = ends[k];
        }
    }
    return pieces;
}

void register_errors() {
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

void register_encoding(py::module_& module) {
    py::class_<Encoder>(module, "Encoder")
        .def(py::init<const std::vector<std::pair<bpe::TokenId, py::bytes>>&,
                      const std::vector<std::array<bpe::TokenId, 3>>&,
                      const std::vector<std::pair<std::string, bpe::TokenId>>&,
                      const std::array<bpe::TokenId, 256>&, const std::vector<bpe::TokenId>&,
                      const std::optional<std::string>&>(),
             py::kw_only(), py::arg("tokens"), py::arg("merges"), py::arg("special_tokens"),
             py::arg("byte_ids"), py::arg("whole_tokens"), py::arg("pattern"))
        .def("encode", &Encoder::encode, py::arg("text"), py::arg("with_specials"))
        .def("encode_numpy", &Encoder::encode_numpy, py::arg("text"), py::arg("with_specials"))
        .def("encode_batch", &Encoder::encode_batch, py::arg("texts"), py::kw_only(),
             py::arg("with_specials"), py::arg("num_threads"), py::arg("progress"))
        .def("encode_pretokens", &Encoder::encode_pretokens, py::arg("pretokens"))
        .def("safe_cut", &Encoder::safe_cut, py::arg("text"))
        .def("decode", &Encoder::decode, py::arg("ids"));
    py::class_<FileEncoder>(module, "FileEncoder")
        .def(py::init<const Encoder&, const std::string&, std::optional<std::size_t>, py::object, std::size_t,
                      std::optional<std::size_t>>(),
             py::arg("encoder"), py::arg("path"), py::kw_only(), py::arg("num_threads"), py::arg("progress"),
             py::arg("start") = 0, py::arg("stop") = py::none())
        .def("__iter__", [](const py::object& self) { return self; })
        .def("__next__", &FileEncoder::next);
}

void register_training(py::module_& module) {
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
    module.def(
        "train",
        [](WordCounts& counts, std::size_t num_merges, std::optional<std::size_t> num_threads,
           const py::object& progress) {
            bpe::TrainResult result;
            {
                const py::gil_scoped_release release;
                result = bpe::train(counts.engine(), num_merges, threads_or_default(num_threads),
                                    make_tick(progress));
            }
            const auto seconds = [](const bpe::PhaseTime& time) {
                return py::make_tuple(time.wall_seconds, time.cpu_seconds);
            };
            py::dict phases;
            phases["counting"] = seconds(result.counting);
            phases["indexing"] = seconds(result.indexing);
            phases["merging"] = seconds(result.merging);
            return py::make_tuple(std::move(result.merges), std::move(phases));
        },
        py::arg("counts"), py::arg("num_merges"), py::kw_only(), py::arg("num_threads"), py::arg("progress"));
}

void register_packed_counts(py::module_& module) {
    module.def(
        "merge_packed",
        [](const py::sequence& objects) {
            std::vector<Text> texts;
            std::vector<bpe::Bytes> blocks;
            texts.reserve(objects.size());
            for (const py::handle object : objects) blocks.push_back(texts.emplace_back(object).bytes());
            std::string merged;
            {
                const py::gil_scoped_release release;
                merged = bpe::merge_packed(blocks);
            }
            return py::bytes(merged);
        },
        py::arg("blocks"));
    module.def(
        "prune_packed",
        [](const py::object& packed, std::uint64_t max_words) {
            const Text block(packed);
            bpe::Pruned pruned;
            {
                const py::gil_scoped_release release;
                pruned = bpe::prune_packed(block.bytes(), max_words);
            }
            return py::make_tuple(py::bytes(pruned.packed), pruned.largest_dropped, pruned.total_dropped);
        },
        py::arg("packed"), py::arg("max_words"));
}

void register_pretokenizing(py::module_& module) {
    module.def("pretokenize", &pretokenize, py::arg("text"), py::arg("pattern"));
}

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

void register_build_information(py::module_& module) {
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
        return info;
    });
}

}  // namespace

PYBIND11_MODULE(_bpe, module) {
    module.doc() = "The compiled byte-pair encoding engine. Private: use course_lib.tokenizer.";
    register_errors();
    register_encoding(module);
    register_training(module);
    register_packed_counts(module);
    register_pretokenizing(module);
    register_ranks(module);
    register_build_information(module);
}
