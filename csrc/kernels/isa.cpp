#include "kernels/isa.hpp"

#include <array>
#include <cstddef>

namespace kernels {
namespace {

constexpr std::array isas{Isa::portable, Isa::avx2, Isa::avx512};

std::size_t count_isas() {
#if defined(__x86_64__) && defined(__GNUC__)
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 1;
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512dq");
    return avx512 ? 3 : 2;
#else
    return 1;
#endif
}

}  // namespace

std::string_view name(Isa isa) {
    switch (isa) {
        case Isa::avx2:
            return "avx2";
        case Isa::avx512:
            return "avx512";
        default:
            return "portable";
    }
}

std::span<const Isa> available_isas() {
    static const std::size_t count = count_isas();
    return std::span(isas).first(count);
}

}  // namespace kernels
