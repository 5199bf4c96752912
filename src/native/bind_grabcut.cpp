#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <utility>

#include "bindings.h"
#include "grabcut.h"

namespace py = pybind11;

namespace {

template <typename Number>
using Array = py::array_t<Number, py::array::c_style>;
using Bytes = Array<std::uint8_t>;

weakseg::SeededPhoto as_photo(const Bytes& rgb, const Bytes& seeds) {
    if (rgb.ndim() != 3 || seeds.ndim() != 2 || rgb.shape(0) != seeds.shape(0) || rgb.shape(1) != seeds.shape(1) ||
        rgb.shape(2) != 3 || seeds.size() == 0)
        throw py::value_error("shapes disagree");
    const bool is_seed = std::all_of(seeds.data(), seeds.data() + seeds.size(), [](auto seed) { return seed < 4; });
    if (!is_seed) throw py::value_error("seeds are 0, 1, 2 or 3");
    return {rgb.data(), seeds.data(), static_cast<int>(seeds.shape(0)), static_cast<int>(seeds.shape(1))};
}

Bytes cut_photo(const Bytes& rgb, const Bytes& seeds, int iterations, std::size_t coarse_px, int band) {
    if (iterations < 1 || coarse_px < 1 || band < 0) throw py::value_error("iterations, coarse_px or band is too small");
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

py::tuple explain_seeds(const Bytes& rgb, const Bytes& seeds) {
    const weakseg::SeededPhoto photo = as_photo(rgb, seeds);
    const auto objects = std::count_if(seeds.data(), seeds.data() + seeds.size(), weakseg::side_of);
    if (objects == 0 || objects == seeds.size()) throw py::value_error("seeds of one side only");
    Array<double> numbers({py::ssize_t{2}, py::ssize_t{weakseg::Mixture::kNumbers}});
    Array<float> costs({py::ssize_t{2}, seeds.shape(0), seeds.shape(1)});
    weakseg::Colours colours;
    for (std::size_t place = 0; place < photo.count(); ++place) colours.add(photo.rgb + 3 * place);
    const std::array<weakseg::Mixture, 2> mixtures = weakseg::fit_seeds(photo);
    for (const int side : {0, 1}) {
        const auto of_side = mixtures[side].numbers();
        const auto by_pixel = mixtures[side].costs(colours);
        std::copy(of_side.begin(), of_side.end(), numbers.mutable_data(side, 0));
        std::copy(by_pixel.begin(), by_pixel.end(), costs.mutable_data(side, 0, 0));
    }
    return py::make_tuple(numbers, costs);
}

py::tuple cut_grid(const Array<std::int32_t>& excess, const Array<std::int32_t>& prices) {
    if (excess.ndim() != 2 || prices.ndim() != 3 || prices.shape(0) != 4 || prices.shape(1) != excess.shape(0) ||
        prices.shape(2) != excess.shape(1))
        throw py::value_error("shapes disagree");
    const bool are_prices = std::all_of(prices.data(), prices.data() + prices.size(),
                                        [](auto price) { return price >= 0 && price <= weakseg::kMostPrice; });
    if (!are_prices) throw py::value_error("prices are from 0 to 32767");
    const auto height = static_cast<int>(excess.shape(0)), width = static_cast<int>(excess.shape(1));
    const auto spot = [&](int y, int x) { return std::size_t{1} * (y + 1) * (width + 2) + x + 1; };
    weakseg::Flow flow(spot(height + 1, 0), width + 2);
    for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) {
            flow.open(spot(y, x), excess.at(y, x));
            for (int direction = 4; direction < weakseg::kDirections; ++direction) {
                const int down = y + weakseg::kDown[direction], right = x + weakseg::kRight[direction];
                if (down >= height || right < 0 || right >= width) continue;
                flow.connect(spot(y, x), direction, prices.at(direction - 4, y, x));
            }
        }
    }
    flow.solve();
    Bytes sides({height, width});
    for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) sides.mutable_at(y, x) = flow.on_source_side(spot(y, x));
    }
    return py::make_tuple(sides, flow.value());
}

} // namespace

void bind_grabcut(py::module_& module) {
    module.def("cut_photo", &cut_photo, py::arg("rgb").noconvert(), py::arg("seeds").noconvert(), py::arg("iterations"),
               py::arg("coarse_px"), py::arg("band"));
    module.def("explain_seeds", &explain_seeds, py::arg("rgb").noconvert(), py::arg("seeds").noconvert());
    module.def("cut_grid", &cut_grid, py::arg("excess").noconvert(), py::arg("prices").noconvert());
}
