// Pre-tokenization patterns by their names in Python.
#pragma once

#include <optional>
#include <string>

#include "bpe/pretokenize.hpp"

namespace python {

// Raises ValueError for a name without a compiled scanner.
bpe::Pattern compiled_pattern(const std::string& name);

// The same; none where there is no name.
std::optional<bpe::Pattern> compiled_pattern(const std::optional<std::string>& name);

}  // namespace python
