// Binds bpe/pretokenize.hpp: text cut into pre-tokens.
#include "python/pretokenize.hpp"

#include <pybind11/pybind11.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "bpe/unicode.hpp"
#include "python/registers.hpp"
#include "python/text.hpp"

namespace python {
namespace {

// Pieces of the text's own type, str or bytes.
py::list pretokenize(const py::object& object, const std::string& name) {
    const bpe::Pattern pattern = compiled_pattern(name);
    const Text text(object);
    const bool as_str = PyUnicode_Check(object.ptr()) != 0;
    const std::uint8_t* begin = text.bytes().data();
    const std::uint8_t* const end = begin + text.bytes().size();
    std::array<const std::uint8_t*, 256> ends;
    py::list pieces;
    while (begin < end) {
        const std::size_t count = bpe::pretokenize(pattern, begin, end, ends.data(), ends.size());
        for (std::size_t k = 0; k < count; ++k) {
            const std::string_view piece = bpe::as_string({begin, ends[k]});
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

// One byte a code point, the bits of CharClass.
py::bytes character_classes() {
    constexpr std::uint32_t code_points = 0x110000;
    std::string classes(code_points, '\0');
    for (std::uint32_t code = 0; code < code_points; ++code) {
        classes[code] = static_cast<char>(bpe::classes_of(code));
    }
    return classes;
}

}  // namespace

bpe::Pattern compiled_pattern(const std::string& name) {
    const auto pattern = bpe::pattern_from_name(name);
    if (!pattern) throw py::value_error("no compiled scanner for the pattern '" + name + "'");
    return *pattern;
}

std::optional<bpe::Pattern> compiled_pattern(const std::optional<std::string>& name) {
    if (!name) return std::nullopt;
    return compiled_pattern(*name);
}

void register_pretokenize(py::module_& module) {
    module.def("pretokenize", &pretokenize, py::arg("text"), py::arg("pattern"));
    module.def("character_classes", &character_classes);
}

}  // namespace python
