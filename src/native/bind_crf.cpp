#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "bindings.h"
#include "crf.h"

namespace py = pybind11;

using FloatArray = py::array_t<float, py::array::c_style>;
using ByteArray = py::array_t<uint8_t, py::array::c_style>;

static bool infer(const FloatArray& logits, const ByteArray& rgb, float smooth_sigma, float colour_sigma, float colour_rgb,
                  const FloatArray& smooth_weights, const FloatArray& colour_weights, int steps, int stride, float sparse,
                  float plausible, float sure, FloatArray& probs) {
    if (logits.ndim() != 3 || rgb.ndim() != 3 || rgb.shape(0) != logits.shape(1) || rgb.shape(1) != logits.shape(2) ||
        rgb.shape(2) != 3 || smooth_weights.size() != logits.shape(0) || colour_weights.size() != logits.shape(0) ||
        probs.size() != logits.size() || logits.size() == 0 || stride < 1)
        throw py::value_error("arrays do not fit each other");
    const weakseg::Problem problem{logits.data(),
                                   rgb.data(),
                                   int(logits.shape(0)),
                                   int(logits.shape(1)),
                                   int(logits.shape(2)),
                                   smooth_sigma,
                                   colour_sigma,
                                   colour_rgb,
                                   smooth_weights.data(),
                                   colour_weights.data(),
                                   steps,
                                   stride,
                                   sparse,
                                   plausible,
                                   sure};
    float* out = probs.mutable_data();
    py::gil_scoped_release release;
    return weakseg::infer(problem, out);
}

void bind_crf(py::module_& module) {
    module.def("infer_crf", &infer, py::arg("logits").noconvert(), py::arg("rgb").noconvert(), py::arg("smooth_sigma"),
               py::arg("colour_sigma"), py::arg("colour_rgb"), py::arg("smooth_weights"), py::arg("colour_weights"),
               py::arg("steps"), py::arg("stride"), py::arg("sparse"), py::arg("plausible"), py::arg("sure"),
               py::arg("probs").noconvert());
}
