#include "layers.h"

#include <algorithm>
#include <cmath>

namespace weakseg {
namespace {

constexpr int kForward = kDirections / 2;          // the first direction that leads onwards
constexpr std::size_t kEnoughPixels = 4'000'000;   // show how much neighbours differ
constexpr int kMostDistance = 3 * 255 * 255;

int squared_distance(const std::uint8_t* a, const std::uint8_t* b) {
    const int red = a[0] - b[0], green = a[1] - b[1], blue = a[2] - b[2];
    return red * red + green * green + blue * blue;
}

// The columns of a row whose neighbour in a direction is in the photo.
struct Columns {
    int first, end;

    Columns(int direction, int width)
        : first(std::max(-kRight[direction], 0)), end(width - std::max(kRight[direction], 0)) {}
};

// 1 / (2 x the mean squared difference of neighbours); of a large photo, of some of its rows with the next. 0: all equal.
double measure_beta(const Layer& layer) {
    const int step = static_cast<int>(layer.count() / kEnoughPixels) + 1;
    std::int64_t sum = 0, pairs = 0;
    for (int y = 0; y < layer.height(); y += step) {
        const std::uint8_t* here = layer.rgb(std::size_t{1} * y * layer.width());
        for (int direction = kForward; direction < kDirections; ++direction) {
            if (y + kDown[direction] >= layer.height()) continue;
            const Columns columns(direction, layer.width());
            const std::uint8_t* there = here + 3 * (std::ptrdiff_t{kDown[direction]} * layer.width() + kRight[direction]);
            std::int64_t in_row = 0;
            for (int i = 3 * columns.first; i < 3 * columns.end; ++i) {
                const int difference = here[i] - there[i];
                in_row += difference * difference;
            }
            sum += in_row;
            pairs += std::max(columns.end - columns.first, 0);
        }
    }
    return sum == 0 ? 0 : static_cast<double>(pairs) / (2 * static_cast<double>(sum));
}

// Prices by squared difference; farther colours part for nothing.
std::vector<std::uint16_t> list_prices(double beta, double gamma) {
    const double farthest = beta > 0 ? std::log(2 * gamma * kUnits) / beta : 0;
    std::vector<std::uint16_t> prices(static_cast<std::size_t>(std::min<double>(farthest, kMostDistance)) + 1);
    for (std::size_t distance = 0; distance < prices.size(); ++distance) {
        const double price = gamma * kUnits * std::exp(-beta * static_cast<double>(distance));
        prices[distance] = static_cast<std::uint16_t>(std::lround(price));
    }
    return prices;
}

} // namespace

Layer::Layer(const SeededPhoto& photo, int stride) : stride_(stride), pixels_(photo) {
    if (stride == 1) return;
    pixels_.height = (photo.height + stride - 1) / stride;
    pixels_.width = (photo.width + stride - 1) / stride;
    rgb_.resize(3 * count());
    seeds_.resize(count());
    std::size_t to = 0;
    for (int y = 0; y < height(); ++y) {
        const std::size_t row = std::min(y * stride + stride / 2, photo.height - 1);
        for (int x = 0; x < width(); ++x, ++to) {
            const std::size_t from = row * photo.width + std::min(x * stride + stride / 2, photo.width - 1);
            std::copy_n(photo.rgb + 3 * from, 3, rgb_.begin() + static_cast<std::ptrdiff_t>(3 * to));
            seeds_[to] = photo.seeds[from];
        }
    }
    pixels_.rgb = rgb_.data();
    pixels_.seeds = seeds_.data();
}

Edges::Edges(int height, int width) : height_(height), width_(width) {
    for (auto& direction : forward_) direction.resize(std::size_t{1} * height * width);
}

Edges::Edges(const Layer& layer) : Edges(layer.height(), layer.width()) {
    const double beta = measure_beta(layer);
    const std::vector<std::uint16_t> straight = list_prices(beta, kGamma);
    const std::vector<std::uint16_t> diagonal = list_prices(beta, kGamma / std::sqrt(2.0));
    for (int y = 0; y < height_; ++y) {
        for (int direction = kForward; direction < kDirections; ++direction) {
            if (y + kDown[direction] >= height_) continue;
            const auto& prices = kDown[direction] != 0 && kRight[direction] != 0 ? diagonal : straight;
            const std::size_t row = std::size_t{1} * y * width_;
            const Columns columns(direction, width_);
            for (int x = columns.first; x < columns.end; ++x) {
                const std::uint8_t* here = layer.rgb(row + x);
                const std::size_t distance = squared_distance(here, here + 3 * offset(direction));
                if (beta <= 0) forward_[direction - kForward][row + x] = prices[0];
                else if (distance < prices.size()) forward_[direction - kForward][row + x] = prices[distance];
            }
        }
    }
}

Edges Edges::halved() const {
    Edges half((height_ + 1) / 2, (width_ + 1) / 2);
    for (int direction = kForward; direction < kDirections; ++direction) {
        const int down = kDown[direction], right = kRight[direction];
        const bool is_diagonal = down != 0 && right != 0;
        const auto& full = forward_[direction - kForward];
        const auto cheapest = [&](int y, int x) { // of the two steps from here; 0 where there is no way
            if (y >= height_ || x >= width_) return 0;
            const bool has_both = y + 2 * down < height_ && x + 2 * right < width_ && x + 2 * right >= 0;
            const std::size_t place = std::size_t{1} * y * width_ + x;
            const std::uint16_t first = full[place];
            return int{has_both ? std::min(first, full[place + offset(direction)]) : first};
        };
        const Columns columns(direction, half.width_);
        for (int y = 0; y + down < half.height_; ++y) {
            std::uint16_t* row = half.forward_[direction - kForward].data() + std::size_t{1} * y * half.width_;
            for (int x = columns.first; x < columns.end; ++x) {
                if (is_diagonal) {
                    row[x] = static_cast<std::uint16_t>(cheapest(2 * y, 2 * x + (right < 0 ? 1 : 0)));
                } else { // the mean of two ways side by side
                    row[x] = static_cast<std::uint16_t>((cheapest(2 * y, 2 * x) + cheapest(2 * y + right, 2 * x + down)) / 2);
                }
            }
        }
    }
    return half;
}

} // namespace weakseg
