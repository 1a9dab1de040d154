// Binds csrc/bpe as course_lib._bpe: a table of contents. course_lib/_bpe.pyi documents what Python sees.
#include <pybind11/pybind11.h>

#include "python/registers.hpp"

PYBIND11_MODULE(_bpe, module) {
    module.doc() = "The compiled byte-pair encoding engine. Private: use course_lib.tokenizer.";
    python::register_errors();
    python::register_encoder(module);
    python::register_uncached(module);      // takes an Encoder
    python::register_file_encoder(module);  // takes an Encoder
    python::register_word_counts(module);
    python::register_packed_counts(module);
    python::register_training(module);  // takes WordCounts
    python::register_pretokenize(module);
    python::register_ranks(module);
    python::register_build_info(module);
}
