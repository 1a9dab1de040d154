#include "python/encoder.hpp"

#include <pybind11/stl.h>

#include <cstdint>
#include <span>

#include "bpe/chunks.hpp"
#include "bpe/special.hpp"
#include "python/arrays.hpp"
#include "python/jobs.hpp"
#include "python/pretokenize.hpp"
#include "python/registers.hpp"
#include "python/text.hpp"

namespace python {
namespace {

// A text of this size or more is encoded in pieces.
constexpr std::size_t min_bytes_to_cut = std::size_t{1} << 17;

std::shared_ptr<const bpe::Encoder> make_encoder(
    const py::dict& tokens, const py::array_t<bpe::TokenId>& merges,
    const std::vector<std::pair<std::string, bpe::TokenId>>& specials,
    const std::array<bpe::TokenId, 256>& byte_ids, const std::vector<bpe::TokenId>& whole_tokens,
    const std::optional<std::string>& pattern) {
    std::vector<bpe::Vocabulary::Entry> entries;
    entries.reserve(tokens.size());
    for (const auto& [id, bytes] : tokens) {
        entries.push_back({id.cast<bpe::TokenId>(), bytes.cast<std::string>()});
    }
    std::vector<bpe::Merge> rules;
    const auto rows = merges.unchecked<2>();
    rules.reserve(static_cast<std::size_t>(rows.shape(1)));
    for (py::ssize_t k = 0; k < rows.shape(1); ++k) rules.push_back({rows(0, k), rows(1, k), rows(2, k)});
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

// Calls visit(id, position) for each integer of an array or an iterable; -1 stands for integers that do not
// fit into 64 bits.
template <class Visit>
void for_each_id(const py::object& ids, const Visit& visit) {
    if (py::isinstance<py::array>(ids)) {
        const auto array = py::reinterpret_borrow<py::array>(ids);
        if (array.ndim() != 1 || (array.dtype().kind() != 'u' && array.dtype().kind() != 'i')) {
            throw py::type_error("ids must be a one-dimensional array of integers");
        }
        const auto wide = py::array_t<std::int64_t, py::array::c_style | py::array::forcecast>::ensure(array);
        if (!wide) throw py::error_already_set();
        for (py::ssize_t k = 0; k < wide.size(); ++k) visit(wide.at(k), static_cast<std::size_t>(k));
        return;
    }
    std::size_t position = 0;
    for (const py::handle item : py::iter(ids)) {
        const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(item.ptr()));
        if (!index) throw py::error_already_set();
        int overflow = 0;
        const std::int64_t id = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
        visit(overflow != 0 ? -1 : id, position++);
    }
}

// The ids and the offsets of a batch.
template <class Id>
py::tuple to_arrays(bpe::IdBatch<Id> batch) {
    const auto& offsets = batch.offsets;
    const py::array_t<std::int64_t> places(static_cast<py::ssize_t>(offsets.size()), offsets.data());
    return py::make_tuple(to_numpy(std::move(batch.ids)), places);
}

}  // namespace

Encoder::Encoder(const py::dict& tokens, const py::array_t<bpe::TokenId>& merges,
                 const std::vector<std::pair<std::string, bpe::TokenId>>& specials,
                 const std::array<bpe::TokenId, 256>& byte_ids, const std::vector<bpe::TokenId>& whole_tokens,
                 const std::optional<std::string>& pattern)
    : encoder_(make_encoder(tokens, merges, specials, byte_ids, whole_tokens, pattern)),
      objects_(std::make_shared<IdObjects>(encoder_->vocabulary().size())) {}

// The ids of a piece stay in the processor's own cache until they are in the result.
template <class Id>
bpe::IdArray<Id> Encoder::encode_in_pieces(bpe::Bytes text, bool with_specials) const {
    const py::object no_progress = py::none();
    const py::gil_scoped_release release;
    const auto pieces = bpe::split_into_chunks(
        text, with_specials ? encoder_->specials() : bpe::SpecialTokens(), min_bytes_to_cut / 2);
    return encoder_->encode_all<Id>(pieces, with_specials, 1, make_tick(no_progress)).ids;
}

py::list Encoder::encode(const py::object& object, bool with_specials) const {
    const Text text(object);
    if (text.bytes().size() >= min_bytes_to_cut) {
        return objects_->list(encode_in_pieces<std::uint32_t>(text.bytes(), with_specials).span());
    }
    bpe::IdBuffer ids;
    without_gil(text.bytes().size(), [&] { encoder_->encode(text.bytes(), with_specials, ids); });
    return objects_->list(ids.span());
}

template <class Id>
py::array Encoder::encode_numpy_as(const py::object& object, bool with_specials) const {
    const Text text(object);
    if (text.bytes().size() >= min_bytes_to_cut) {
        return to_numpy(encode_in_pieces<Id>(text.bytes(), with_specials));
    }
    bpe::IdBuffer ids;
    without_gil(text.bytes().size(), [&] { encoder_->encode(text.bytes(), with_specials, ids); });
    return to_numpy<Id>(ids.span());
}

py::array Encoder::encode_numpy(const py::object& object, bool with_specials) const {
    return narrow() ? encode_numpy_as<std::uint16_t>(object, with_specials)
                    : encode_numpy_as<std::uint32_t>(object, with_specials);
}

template <class Id>
bpe::IdBatch<Id> Encoder::encode_texts(const py::sequence& objects, bool with_specials,
                                       std::optional<std::size_t> num_threads,
                                       const py::object& progress) const {
    const Texts texts(objects);
    const py::gil_scoped_release release;
    return encoder_->encode_all<Id>(texts.bytes(), with_specials, threads_or_default(num_threads),
                                    make_tick(progress));
}

py::list Encoder::encode_batch(const py::sequence& texts, bool with_specials,
                               std::optional<std::size_t> num_threads, const py::object& progress) const {
    const auto [ids, offsets] = encode_texts<std::uint32_t>(texts, with_specials, num_threads, progress);
    py::list lists(offsets.size() - 1);
    for (std::size_t k = 0; k < lists.size(); ++k) {
        const auto begin = static_cast<std::size_t>(offsets[k]);
        lists[k] =
            objects_->list(ids.span().subspan(begin, static_cast<std::size_t>(offsets[k + 1]) - begin));
    }
    return lists;
}

py::tuple Encoder::encode_batch_numpy(const py::sequence& texts, bool with_specials,
                                      std::optional<std::size_t> num_threads,
                                      const py::object& progress) const {
    return narrow() ? to_arrays(encode_texts<std::uint16_t>(texts, with_specials, num_threads, progress))
                    : to_arrays(encode_texts<std::uint32_t>(texts, with_specials, num_threads, progress));
}

py::list Encoder::encode_pretokens(const py::sequence& objects) const {
    const Texts pretokens(objects);
    bpe::IdBuffer ids;
    {
        const py::gil_scoped_release release;
        encoder_->encode_pretokens(pretokens.bytes(), ids);
    }
    return objects_->list(ids.span());
}

std::size_t Encoder::safe_cut(const py::object& object) const {
    const Text text(object);
    return bpe::last_safe_cut(text.bytes(), encoder_->specials());
}

py::bytes Encoder::decode(const py::object& ids) const {
    std::string bytes;
    const bpe::Vocabulary& vocabulary = encoder_->vocabulary();
    for_each_id(ids, [&](std::int64_t id, std::size_t position) {
        if (id < 0 || id > bpe::Vocabulary::max_id || !vocabulary.contains(static_cast<bpe::TokenId>(id))) {
            throw py::value_error("unknown token id " + std::to_string(id) + " at position " +
                                  std::to_string(position) + ": the vocabulary has ids below " +
                                  std::to_string(vocabulary.size()));
        }
        bytes += vocabulary.bytes(static_cast<bpe::TokenId>(id));
    });
    return py::bytes(bytes);
}

void register_encoder(py::module_& module) {
    py::class_<Encoder>(module, "Encoder")
        .def(py::init<const py::dict&, const py::array_t<bpe::TokenId>&,
                      const std::vector<std::pair<std::string, bpe::TokenId>>&,
                      const std::array<bpe::TokenId, 256>&, const std::vector<bpe::TokenId>&,
                      const std::optional<std::string>&>(),
             py::kw_only(), py::arg("tokens"), py::arg("merges"), py::arg("special_tokens"),
             py::arg("byte_ids"), py::arg("whole_tokens"), py::arg("pattern"))
        .def("encode", &Encoder::encode, py::arg("text"), py::arg("with_specials"))
        .def("encode_numpy", &Encoder::encode_numpy, py::arg("text"), py::arg("with_specials"))
        .def("encode_batch", &Encoder::encode_batch, py::arg("texts"), py::kw_only(),
             py::arg("with_specials"), py::arg("num_threads"), py::arg("progress"))
        .def("encode_batch_numpy", &Encoder::encode_batch_numpy, py::arg("texts"), py::kw_only(),
             py::arg("with_specials"), py::arg("num_threads"), py::arg("progress"))
        .def("encode_pretokens", &Encoder::encode_pretokens, py::arg("pretokens"))
        .def("safe_cut", &Encoder::safe_cut, py::arg("text"))
        .def("decode", &Encoder::decode, py::arg("ids"));
}

}  // namespace python
