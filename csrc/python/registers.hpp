// The topics of the module `_bpe`, each in a file of its own.
#pragma once

#include <pybind11/pybind11.h>

namespace python {

void register_errors();
void register_encoder(pybind11::module_& module);
void register_uncached(pybind11::module_& module);
void register_file_encoder(pybind11::module_& module);
void register_word_counts(pybind11::module_& module);
void register_packed_counts(pybind11::module_& module);
void register_training(pybind11::module_& module);
void register_pretokenize(pybind11::module_& module);
void register_ranks(pybind11::module_& module);
void register_build_info(pybind11::module_& module);

}  // namespace python
