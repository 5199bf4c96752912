#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "bindings.h"
#include "crf.h"

namespace py = pybind11;

using FloatArray = py::array_t<float, py::array::c_style>;
using ByteArray = py::array_t<uint8_t, py::array::c_style>;

// What the compiled code takes for granted: without it, it would read or write where nothing is.
static void check(const weakseg::Problem& problem) {
    const int64_t long_side = std::max(problem.height, problem.width);
    // Numbers of vertices, and of the values of a row, fit into 32 bits.
    if (int64_t{problem.height} * problem.width > 1 << 28 || (problem.labels + int64_t{8}) * long_side > 1 << 30)
        throw py::value_error("the photo or the number of labels is too large");
    // So many kernels side by side are still told apart by float32; NaN fails, too.
    const float narrowest_px = float(long_side) * 1e-5f, narrowest_rgb = 255 * 1e-5f;
    if (!(problem.smooth_sigma >= narrowest_px && problem.colour_sigma >= narrowest_px && problem.colour_rgb >= narrowest_rgb))
        throw py::value_error("a kernel is too narrow");
    if (problem.steps < 0 || problem.stride < 1 || problem.stride > long_side || std::isnan(problem.plausible))
        throw py::value_error("steps, stride or plausible is out of range");
}

static bool is_like(const FloatArray& one, const FloatArray& other) {
    return one.ndim() == other.ndim() && std::equal(one.shape(), one.shape() + one.ndim(), other.shape());
}

static bool infer(const FloatArray& logits, const ByteArray& rgb, float smooth_sigma, float colour_sigma, float colour_rgb,
                  const FloatArray& smooth_weights, const FloatArray& colour_weights, int steps, int stride, float sparse,
                  float plausible, float sure, FloatArray& probs) {
    if (logits.ndim() != 3 || logits.size() == 0 || rgb.ndim() != 3 || rgb.shape(0) != logits.shape(1) ||
        rgb.shape(1) != logits.shape(2) || rgb.shape(2) != 3 || smooth_weights.size() != logits.shape(0) ||
        colour_weights.size() != logits.shape(0) || !is_like(probs, logits))
        throw py::value_error("arrays do not fit each other");
    if (std::max({logits.shape(0), logits.shape(1), logits.shape(2)}) > 1 << 28)
        throw py::value_error("the photo or the number of labels is too large");
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
    check(problem);
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
