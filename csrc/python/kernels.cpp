// Binds csrc/kernels. Memory comes as addresses (Tensor.data_ptr()), in the order of the formula; where there
// are more than three sizes and options, they are keywords or a tuple, so that no two of them can change
// places. (Keywords cost a call half a microsecond, of the two that a norm of one token takes.)
// course_lib.model.kernels checks the type and size of what it passes, and a call costs a microsecond less
// than through a buffer protocol.
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <tuple>
#include <utility>

#include "cpu/isa.hpp"
#include "kernels/attention.hpp"
#include "kernels/few_rows.hpp"
#include "kernels/product.hpp"
#include "kernels/rms_norm.hpp"
#include "kernels/rotate.hpp"
#include "kernels/swiglu.hpp"

namespace py = pybind11;

namespace {

using Address = std::uintptr_t;

const float* input(Address address) {
    return reinterpret_cast<const float*>(address);
}
float* output(Address address) {
    return reinterpret_cast<float*>(address);
}

kernels::Pairing pairing(bool interleaved) {
    return interleaved ? kernels::Pairing::interleaved : kernels::Pairing::half;
}

cpu::Isa chosen_isa(const py::object& isa) {
    const auto available = cpu::available_isas();
    if (isa.is_none()) return available.back();
    const auto wanted = isa.cast<std::string>();
    for (const cpu::Isa one : available) {
        if (cpu::name(one) == wanted) return one;
    }
    throw py::value_error("isa must be one of available_isas(), not '" + wanted + "'");
}

void register_rms_norm(py::module_& module) {
    module.def(
        "rms_norm_forward",
        [](Address x, Address weight, Address y, Address inverse_rms, std::size_t rows, std::size_t width,
           float eps, const py::object& isa) {
            const cpu::Isa chosen = chosen_isa(isa);
            const py::gil_scoped_release release;
            kernels::rms_norm_forward(chosen, rows, width, eps, input(x), input(weight), output(y),
                                      output(inverse_rms));
        },
        py::arg("x"), py::arg("weight"), py::arg("y"), py::arg("inverse_rms"), py::arg("rows"),
        py::arg("width"), py::arg("eps"), py::kw_only(), py::arg("isa") = py::none());
    module.def(
        "rms_norm_backward",
        [](Address dy, Address x, Address weight, Address inverse_rms, Address dx, Address dweight,
           std::size_t rows, std::size_t width, const py::object& isa) {
            const cpu::Isa chosen = chosen_isa(isa);
            const py::gil_scoped_release release;
            kernels::rms_norm_backward(chosen, rows, width, input(dy), input(x), input(weight),
                                       input(inverse_rms), output(dx), output(dweight));
        },
        py::arg("dy"), py::arg("x"), py::arg("weight"), py::arg("inverse_rms"), py::arg("dx"),
        py::arg("dweight"), py::kw_only(), py::arg("rows"), py::arg("width"), py::arg("isa") = py::none());
}

using RotatedShape = std::tuple<std::size_t, std::size_t, std::size_t, std::size_t>;

void register_rotate(py::module_& module) {
    module.def(
        "rotate",
        [](Address x, Address cos, Address sin, Address y, const RotatedShape& shape, bool interleaved,
           bool transposed, const py::object& isa) {
            const cpu::Isa chosen = chosen_isa(isa);
            const auto& [batch, tokens, heads, pairs] = shape;
            const py::gil_scoped_release release;
            kernels::rotate(chosen, {batch, tokens, heads, pairs, pairing(interleaved), transposed}, input(x),
                            input(cos), input(sin), output(y));
        },
        py::arg("x"), py::arg("cos"), py::arg("sin"), py::arg("y"), py::arg("shape"), py::kw_only(),
        py::arg("interleaved"), py::arg("transposed"), py::arg("isa") = py::none());
}

void register_swiglu(py::module_& module) {
    module.def(
        "swiglu_forward",
        [](Address gate_up, Address y, std::size_t rows, std::size_t width, const py::object& isa) {
            const cpu::Isa chosen = chosen_isa(isa);
            const py::gil_scoped_release release;
            kernels::swiglu_forward(chosen, rows, width, input(gate_up), output(y));
        },
        py::arg("gate_up"), py::arg("y"), py::kw_only(), py::arg("rows"), py::arg("width"),
        py::arg("isa") = py::none());
    module.def(
        "swiglu_backward",
        [](Address dy, Address gate_up, Address dgate_up, std::size_t rows, std::size_t width,
           const py::object& isa) {
            const cpu::Isa chosen = chosen_isa(isa);
            const py::gil_scoped_release release;
            kernels::swiglu_backward(chosen, rows, width, input(dy), input(gate_up), output(dgate_up));
        },
        py::arg("dy"), py::arg("gate_up"), py::arg("dgate_up"), py::kw_only(), py::arg("rows"),
        py::arg("width"), py::arg("isa") = py::none());
}

void register_attention(py::module_& module) {
    module.def(
        "attention_forward",
        [](Address qkv, Address y, Address log_sums, std::size_t batch, std::size_t tokens, std::size_t heads,
           std::size_t kv_heads, std::size_t width, float scale, bool interleaved, Address cos, Address sin,
           const py::object& isa) {
            const cpu::Isa chosen = chosen_isa(isa);
            const py::gil_scoped_release release;
            kernels::attention_forward(chosen, {batch, tokens, heads, kv_heads, width, scale},
                                       {pairing(interleaved), input(cos), input(sin)}, input(qkv), output(y),
                                       output(log_sums));
        },
        py::arg("qkv"), py::arg("y"), py::arg("log_sums"), py::kw_only(), py::arg("batch"), py::arg("tokens"),
        py::arg("heads"), py::arg("kv_heads"), py::arg("width"), py::arg("scale"), py::arg("interleaved"),
        py::arg("cos"), py::arg("sin"), py::arg("isa") = py::none());
    module.def(
        "attention_backward",
        [](Address dy, Address qkv, Address log_sums, Address dqkv, std::size_t batch, std::size_t tokens,
           std::size_t heads, std::size_t kv_heads, std::size_t width, float scale, bool interleaved,
           Address cos, Address sin, const py::object& isa) {
            const cpu::Isa chosen = chosen_isa(isa);
            const py::gil_scoped_release release;
            kernels::attention_backward(chosen, {batch, tokens, heads, kv_heads, width, scale},
                                        {pairing(interleaved), input(cos), input(sin)}, input(dy), input(qkv),
                                        input(log_sums), output(dqkv));
        },
        py::arg("dy"), py::arg("qkv"), py::arg("log_sums"), py::arg("dqkv"), py::kw_only(), py::arg("batch"),
        py::arg("tokens"), py::arg("heads"), py::arg("kv_heads"), py::arg("width"), py::arg("scale"),
        py::arg("interleaved"), py::arg("cos"), py::arg("sin"), py::arg("isa") = py::none());
}

void register_few_rows(py::module_& module) {
    module.def(
        "multiply_few_rows",
        [](Address x, Address weight, Address y, std::size_t rows, std::size_t width, std::size_t outputs,
           const py::object& isa) {
            const cpu::Isa chosen = chosen_isa(isa);
            const py::gil_scoped_release release;
            kernels::multiply_few_rows(chosen, rows, width, outputs, input(x), input(weight), output(y));
        },
        py::arg("x"), py::arg("weight"), py::arg("y"), py::arg("rows"), py::arg("width"), py::arg("outputs"),
        py::kw_only(), py::arg("isa") = py::none());
}

using Operand = std::tuple<Address, std::size_t, std::size_t>;  // address, row step, column step
using Result = std::pair<Address, std::size_t>;                 // address, row step

kernels::Matrix matrix(const Operand& operand) {
    const auto& [address, row_step, column_step] = operand;
    return {input(address), row_step, column_step};
}

void register_product(py::module_& module) {
    module.def(
        "multiply",
        [](const Operand& a, const Operand& b, const Result& c, std::size_t rows, std::size_t depth,
           std::size_t width, bool accumulate, const py::object& isa) {
            const cpu::Isa chosen = chosen_isa(isa);
            const py::gil_scoped_release release;
            kernels::multiply(chosen, rows, depth, width, matrix(a), matrix(b), output(c.first), c.second,
                              accumulate);
        },
        py::arg("a"), py::arg("b"), py::arg("c"), py::kw_only(), py::arg("rows"), py::arg("depth"),
        py::arg("width"), py::arg("accumulate") = false, py::arg("isa") = py::none());
    module.attr("product_unit") = kernels::product_unit;
}

}  // namespace

PYBIND11_MODULE(_kernels, module) {
    module.doc() = "Fused kernels on float32 in memory. Private: use course_lib.model.kernels.";
    cpu::available_isas();  // a wrong COURSE_CPU_CAPABILITY is an ImportError here
    module.def("available_isas", [] {
        py::list names;
        for (const cpu::Isa isa : cpu::available_isas()) {
            const auto name = cpu::name(isa);
            names.append(py::str(name.data(), name.size()));
        }
        return names;
    });
    register_rms_norm(module);
    register_rotate(module);
    register_swiglu(module);
    register_attention(module);
    register_few_rows(module);
    register_product(module);
}
