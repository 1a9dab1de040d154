// Encoding with every pre-token merged anew: the scanner and the merger without caches. The course measures
// with it how much the caches save.
#include <pybind11/pybind11.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "bpe/bytes.hpp"
#include "bpe/id_buffer.hpp"
#include "bpe/merge.hpp"
#include "bpe/pretokenize.hpp"
#include "bpe/vocabulary.hpp"
#include "python/arrays.hpp"
#include "python/encoder.hpp"
#include "python/jobs.hpp"
#include "python/pretokenize.hpp"
#include "python/registers.hpp"
#include "python/text.hpp"

namespace python {
namespace {

void merge_all(const bpe::Vocabulary& vocabulary, bpe::Pattern pattern, bpe::Bytes text, bpe::IdBuffer& ids) {
    bpe::Merger merger;
    const std::uint8_t* begin = text.data();
    const std::uint8_t* const end = begin + text.size();
    std::array<const std::uint8_t*, 256> ends;
    while (begin < end) {
        const std::size_t count = bpe::pretokenize(pattern, begin, end, ends.data(), ends.size());
        for (std::size_t k = 0; k < count; ++k) {
            const bpe::Bytes pretoken{begin, ends[k]};
            if (const auto whole = vocabulary.whole_token(pretoken)) {
                ids.push(*whole);
            } else {
                merger.merge(vocabulary, pretoken, ids);
            }
            begin = ends[k];
        }
    }
}

py::array encode_uncached(const Encoder& encoder, const py::object& object, const std::string& pattern) {
    const bpe::Pattern scanner = compiled_pattern(pattern);
    const Text text(object);
    bpe::IdBuffer ids;
    without_gil(text.bytes().size(),
                [&] { merge_all(encoder.engine().vocabulary(), scanner, text.bytes(), ids); });
    return encoder.narrow() ? to_numpy(bpe::IdArray<std::uint16_t>(ids.span()))
                            : to_numpy(bpe::IdArray<std::uint32_t>(ids.span()));
}

}  // namespace

void register_uncached(py::module_& module) {
    module.def("encode_uncached", &encode_uncached, py::arg("encoder"), py::arg("text"), py::arg("pattern"));
}

}  // namespace python
