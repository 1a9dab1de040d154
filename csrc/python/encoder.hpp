// The Python view of bpe::Encoder.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bpe/encode.hpp"
#include "bpe/vocabulary.hpp"
#include "python/id_objects.hpp"

namespace python {

namespace py = pybind11;

class Encoder {
  public:
    Encoder(const py::dict& tokens, const py::array_t<bpe::TokenId>& merges,
            const std::vector<std::pair<std::string, bpe::TokenId>>& specials,
            const std::array<bpe::TokenId, 256>& byte_ids, const std::vector<bpe::TokenId>& whole_tokens,
            const std::optional<std::string>& pattern);

    py::list encode(const py::object& text, bool with_specials) const;
    py::array encode_numpy(const py::object& text, bool with_specials) const;
    py::list encode_batch(const py::sequence& texts, bool with_specials,
                          std::optional<std::size_t> num_threads, const py::object& progress) const;
    py::tuple encode_batch_numpy(const py::sequence& texts, bool with_specials,
                                 std::optional<std::size_t> num_threads, const py::object& progress) const;
    py::list encode_pretokens(const py::sequence& pretokens) const;
    std::size_t safe_cut(const py::object& text) const;
    py::bytes decode(const py::object& ids) const;

    // Whether every id fits into 16 bits.
    bool narrow() const { return encoder_->vocabulary().size() <= std::size_t{1} << 16; }
    const bpe::Encoder& engine() const { return *encoder_; }

  private:
    template <class Id>
    py::array encode_numpy_as(const py::object& text, bool with_specials) const;
    template <class Id>
    bpe::IdArray<Id> encode_in_pieces(bpe::Bytes text, bool with_specials) const;
    template <class Id>
    bpe::IdBatch<Id> encode_texts(const py::sequence& texts, bool with_specials,
                                  std::optional<std::size_t> num_threads, const py::object& progress) const;

    // Copies of this object share both.
    std::shared_ptr<const bpe::Encoder> encoder_;
    std::shared_ptr<IdObjects> objects_;
};

}  // namespace python
