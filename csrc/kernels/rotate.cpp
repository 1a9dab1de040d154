#include "kernels/rotate.hpp"

#include "kernels/turn.hpp"

namespace kernels {

void rotate(cpu::Isa isa, const Rotation& shape, const float* x, const float* cos, const float* sin,
            float* y) {
    const Turn turn(shape.tokens, shape.pairs, shape.pairing, shape.transposed, cos, sin);
    // The heads of most models are too narrow to fill vectors of sixteen.
    cpu::run(isa == cpu::Isa::avx512 ? cpu::Isa::avx2 : isa,
             [=, &shape, &turn]() __attribute__((always_inline)) {
                 const float* from = x;
                 float* to = y;
                 const std::size_t width = 2 * shape.pairs;
                 for (std::size_t sequence = 0; sequence < shape.batch; ++sequence) {
                     for (std::size_t token = 0; token < shape.tokens; ++token) {
                         for (std::size_t head = 0; head < shape.heads; ++head, from += width, to += width) {
                             turn(token, from, to);
                         }
                     }
                 }
             });
}

}  // namespace kernels
