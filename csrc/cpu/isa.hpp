// Compiling one body for several instruction sets and choosing among them at run time.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace cpu {

// The instruction set that a function is compiled for. Results of the kernels agree up to rounding.
enum class Isa : std::uint8_t { portable, avx2, avx512 };

std::string_view name(Isa isa);

// The instruction sets that this processor can run, the fastest last. If the environment variable
// COURSE_CPU_CAPABILITY is set, those after the one it names are left out. Throws std::invalid_argument if it
// names an unknown one.
std::span<const Isa> available_isas();

namespace detail {

#if defined(__x86_64__) && defined(__GNUC__)

template <class Body>
[[gnu::target("avx2,fma")]] void run_avx2(const Body& body) {
    body();
}

template <class Body>
[[gnu::target("avx2,fma,avx512f,avx512vl,avx512dq")]] void run_avx512(const Body& body) {
    body();
}

#endif

}  // namespace detail

// Calls `body`, compiled for `isa`, which must be available. `body` is a lambda that is always inlined, and
// so are the functions that it calls.
template <class Body>
void run(Isa isa, const Body& body) {
#if defined(__x86_64__) && defined(__GNUC__)
    if (isa == Isa::avx512) return detail::run_avx512(body);
    if (isa == Isa::avx2) return detail::run_avx2(body);
#else
    static_cast<void>(isa);
#endif
    body();
}

}  // namespace cpu
