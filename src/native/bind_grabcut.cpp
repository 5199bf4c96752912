#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include "grabcut.h"
namespace py = pybind11;
using Bytes = py::array_t<std::uint8_t, py::array::c_style>;
void bind_grabcut(py::module_& module) {
    module.def("grabcut", [](const Bytes& rgb, const Bytes& seeds, int iterations, int coarse_px, int sample_px, int band, int rounds, float power) {
        Bytes mask({rgb.shape(0), rgb.shape(1)});
        weakseg::SeededPhoto photo{rgb.data(), seeds.data(), (int)rgb.shape(0), (int)rgb.shape(1)};
        std::uint8_t* out = mask.mutable_data();
        { py::gil_scoped_release r;
        weakseg::cut_photo(photo, {iterations, coarse_px, sample_px, band, rounds, power}, out); }
        return mask;
    }, py::arg("rgb"), py::arg("seeds"), py::arg("iterations"), py::arg("coarse_px"), py::arg("sample_px"), py::arg("band"), py::arg("rounds"), py::arg("power"));
    module.def("fit_seeds", [](const Bytes& rgb, const Bytes& seeds, int sample_px) {
        auto m = weakseg::fit_seeds({rgb.data(), seeds.data(), (int)rgb.shape(0), (int)rgb.shape(1)}, sample_px);
        py::array_t<double> out({2, 65});
        for (int i = 0; i < 2; ++i) { auto n = m[i].numbers(); std::copy(n.begin(), n.end(), out.mutable_data(i, 0)); }
        return out;
    });
}
