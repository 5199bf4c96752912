// GrabCut for Python: shapes are checked in weakseg.refine.grabcut.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>

#include "grabcut.h"

namespace py = pybind11;

namespace {

using Bytes = py::array_t<std::uint8_t, py::array::c_style>;

weakseg::SeededPhoto as_photo(const Bytes& rgb, const Bytes& seeds) {
    return {rgb.data(), seeds.data(), static_cast<int>(seeds.shape(0)), static_cast<int>(seeds.shape(1))};
}

Bytes cut(const Bytes& rgb, const Bytes& seeds, int iterations, std::size_t coarse_px, int band) {
    const weakseg::SeededPhoto photo = as_photo(rgb, seeds);
    std::vector<std::uint8_t> mask;
    {
        const py::gil_scoped_release unlocked;
        mask = weakseg::cut_photo(photo, {iterations, coarse_px, band});
    }
    Bytes result({seeds.shape(0), seeds.shape(1)});
    std::copy(mask.begin(), mask.end(), result.mutable_data());
    return result;
}

} // namespace

void bind_grabcut(py::module_& module) {
    module.def("cut_photo", &cut, py::arg("rgb"), py::arg("seeds"), py::arg("iterations"), py::arg("coarse_px"),
               py::arg("band"));
}
