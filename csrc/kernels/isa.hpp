// Compiling one body for several instruction sets and choosing among them at run time.
#pragma once

#include <span>
#include <string_view>

namespace kernels {

// Which instructions a kernel is compiled for. All give the same numbers up to rounding.
enum class Isa { portable, avx2, avx512 };

std::string_view name(Isa isa);

// What this processor can run, the fastest last, up to the one that the environment variable
// COURSE_CPU_CAPABILITY names, if it is set. Throws std::invalid_argument if that names none of them.
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

// Calls `body`, a lambda that is always inlined (and so is all that it calls), compiled for `isa`, which must
// be available.
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

}  // namespace kernels
