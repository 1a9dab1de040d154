#include "cpu/isa.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace cpu {
namespace {

constexpr std::array isas{Isa::portable, Isa::avx2, Isa::avx512};

// How many of `isas` the processor can run.
std::size_t count_supported() {
#if defined(__x86_64__) && defined(__GNUC__)
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 1;
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512dq");
    return avx512 ? 3 : 2;
#else
    return 1;
#endif
}

// How many of `isas` the user allows.
std::size_t count_allowed() {
    const char* value = std::getenv("COURSE_CPU_CAPABILITY");
    const std::string_view wanted = value == nullptr ? "" : value;
    if (wanted.empty()) return isas.size();
    const auto found = std::ranges::find(isas, wanted, name);
    if (found == isas.end()) {
        throw std::invalid_argument("COURSE_CPU_CAPABILITY is '" + std::string(wanted) +
                                    "'; allowed are 'avx512', 'avx2' and 'portable'");
    }
    return static_cast<std::size_t>(found - isas.begin()) + 1;
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
    static const std::size_t count = std::min(count_supported(), count_allowed());
    return std::span(isas).first(count);
}

}  // namespace cpu
