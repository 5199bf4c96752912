#include "grabcut.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "maxflow.h"

namespace weakseg {
namespace {

constexpr double kGamma = 50;     // OpenCV's weight of an edge between equal colours
constexpr float kUnits = 1024;    // capacities are whole numbers of 1 / 1024
constexpr float kCertain = 512;   // more than all edges of a pixel together, 4 x 50 + 4 x 35.4
constexpr int kMostDistance = 3 * 255 * 255;

constexpr std::array<int, kDirections> kDown{-1, -1, -1, 0, 0, 1, 1, 1};
constexpr std::array<int, kDirections> kRight{-1, 0, 1, -1, 1, -1, 0, 1};

bool is_sure(std::uint8_t seed) { return seed < kMaybeBackground; }
std::uint8_t side(std::uint8_t seed) { return seed & 1; }

int squared_distance(const std::uint8_t* a, const std::uint8_t* b) {
    const int r = a[0] - b[0], g = a[1] - b[1], b_ = a[2] - b[2];
    return r * r + g * g + b_ * b_;
}

// Every stride-th pixel of a photo, and of its seeds.
class Layer {
public:
    Layer(const SeededPhoto& photo, int stride)
        : stride(stride), height((photo.height + stride - 1) / stride), width((photo.width + stride - 1) / stride) {
        if (stride == 1) {
            rgb_ = photo.rgb, seeds_ = photo.seeds;
            return;
        }
        own_rgb_.reserve(std::size_t{3} * height * width);
        own_seeds_.reserve(std::size_t{1} * height * width);
        for (int y = 0; y < height; ++y) {
            const std::size_t row = std::min(y * stride + stride / 2, photo.height - 1);
            for (int x = 0; x < width; ++x) {
                const std::size_t place = row * photo.width + std::min(x * stride + stride / 2, photo.width - 1);
                own_rgb_.insert(own_rgb_.end(), photo.rgb + 3 * place, photo.rgb + 3 * place + 3);
                own_seeds_.push_back(photo.seeds[place]);
            }
        }
        rgb_ = own_rgb_.data(), seeds_ = own_seeds_.data();
    }

    std::size_t count() const { return std::size_t{1} * height * width; }
    const std::uint8_t* rgb(std::size_t place) const { return rgb_ + 3 * place; }
    std::uint8_t seed(std::size_t place) const { return seeds_[place]; }
    const std::uint8_t* seeds() const { return seeds_; }

    const int stride, height, width;

private:
    const std::uint8_t *rgb_, *seeds_;
    std::vector<std::uint8_t> own_rgb_, own_seeds_;
};

using Mask = std::vector<std::uint8_t>; // of 0 and 1, one for each pixel of a layer

int stride_for(const SeededPhoto& photo, int most_px) {
    int stride = 1;
    const auto count = [&] {
        return std::int64_t{(photo.height + stride - 1) / stride} * ((photo.width + stride - 1) / stride);
    };
    while (count() > most_px) stride *= 2;
    return stride;
}

// What it costs to part two neighbours, by the squared distance of their colours.
class Contrast {
public:
    Contrast(const Layer& layer, int most_px) {
        const double beta = measure_beta(layer, most_px);
        const double longest = beta > 0 ? std::log(4 * kGamma * kUnits) / beta : 0; // farther colours part for nothing
        const int size = beta > 0 ? static_cast<int>(std::min<double>(longest, kMostDistance)) + 1 : 1;
        flat_ = beta <= 0;
        straight_.resize(size);
        diagonal_.resize(size);
        for (int distance = 0; distance < size; ++distance) {
            const double weight = kGamma * kUnits * std::exp(-beta * distance);
            straight_[distance] = static_cast<Capacity>(std::lround(weight));
            diagonal_[distance] = static_cast<Capacity>(std::lround(weight / std::sqrt(2.0)));
        }
    }

    Capacity weight(const std::uint8_t* a, const std::uint8_t* b, bool is_diagonal) const {
        const std::size_t distance = flat_ ? 0 : squared_distance(a, b);
        if (distance >= straight_.size()) return 0;
        return is_diagonal ? diagonal_[distance] : straight_[distance];
    }

private:
    // 1 / (2 x the mean squared distance of neighbours); of a large photo, every n-th row with the row above it.
    static double measure_beta(const Layer& layer, int most_px) {
        const int step = static_cast<int>(std::max<std::size_t>(layer.count() / most_px, 1));
        std::int64_t sum = 0, pairs = 0;
        for (int y = 0; y < layer.height; y += step) {
            for (int direction : {0, 1, 2, 3}) {
                if (y + kDown[direction] < 0) continue;
                const int first = std::max(-kRight[direction], 0), last = layer.width - std::max(kRight[direction], 0);
                const std::uint8_t* here = layer.rgb(std::size_t{1} * y * layer.width);
                const std::ptrdiff_t there = 3 * (std::ptrdiff_t{kDown[direction]} * layer.width + kRight[direction]);
                std::int64_t row = 0;
                for (int i = 3 * first; i < 3 * last; ++i) {
                    const int difference = here[i] - here[i + there];
                    row += difference * difference;
                }
                sum += row;
                pairs += std::max(last - first, 0);
            }
        }
        return sum == 0 ? 0 : static_cast<double>(pairs) / (2 * static_cast<double>(sum));
    }

    bool flat_ = false;
    std::vector<Capacity> straight_, diagonal_;
};

using Mixtures = std::array<Mixture, 2>; // background, object

// One more round of fitting: each colour goes to the Gaussian that it is most likely from.
template <typename SideOf>
Mixtures learn(const Layer& layer, const Mixtures& before, const SideOf& side_of) {
    std::array<Mixture::AllSums, 2> sums;
    for (std::size_t place = 0; place < layer.count(); ++place) {
        const std::uint8_t which = side_of(place);
        const std::uint8_t* rgb = layer.rgb(place);
        sums[which][before[which].component(rgb)].add(rgb);
    }
    return {Mixture(sums[0]), Mixture(sums[1])};
}

Mixtures find_mixtures(const Layer& layer, std::array<std::size_t, 2> counted) {
    std::array<Colours, 2> colours;
    for (std::size_t place = 0; place < layer.count(); ++place) {
        colours[side(layer.seed(place))].add(layer.rgb(place));
    }
    Random random;
    Mixtures found;
    for (int which : {0, 1}) {
        const Colours& own = colours[which];
        if (own.count() == 0) continue;
        const std::vector<std::uint8_t> clusters = find_clusters(own, counted[which], random);
        Mixture::AllSums sums;
        for (std::size_t i = 0; i < own.count(); ++i) {
            const std::uint8_t rgb[] = {std::uint8_t(own.channels[0][i]), std::uint8_t(own.channels[1][i]),
                                        std::uint8_t(own.channels[2][i])};
            sums[clusters[i]].add(rgb);
        }
        found[which] = Mixture(sums);
    }
    return found;
}

enum State : std::uint8_t { kDecided0 = 0, kDecided1 = 1, kOpen = 2, kOutside = 3 };

// A layer's pixels, with a frame of kOutside around them.
struct States {
    int pitch;
    std::vector<std::uint8_t> all;

    explicit States(const Layer& layer)
        : pitch(layer.width + 2), all(std::size_t{1} * (layer.height + 2) * pitch, kOutside) {}
    std::uint8_t* row(int y) { return all.data() + std::size_t{1} * (y + 1) * pitch + 1; }
};

// Decides all open pixels by the least cut; `mask` takes the result.
void cut_open(const Layer& layer, States& states, const Mixtures& mixtures, const Contrast& contrast, float data_weight,
              Mask& mask) {
    std::size_t open = 0;
    for (const std::uint8_t state : states.all) open += state == kOpen;
    Flow flow(open);
    std::vector<std::int32_t> above(layer.width + 2, -1), current(layer.width + 2, -1);
    for (int y = 0; y < layer.height; ++y) {
        std::swap(above, current);
        const std::uint8_t* row = states.row(y);
        for (int x = 0; x < layer.width; ++x) {
            if (row[x] != kOpen) continue;
            const std::size_t place = std::size_t{1} * y * layer.width + x;
            const std::uint8_t* rgb = layer.rgb(place);
            const float data = data_weight * (mixtures[0].cost(rgb) - mixtures[1].cost(rgb));
            Capacity excess = static_cast<Capacity>(std::lround(std::clamp(data, -kCertain, kCertain) * kUnits));
            const int node = flow.add_node(0);
            current[x + 1] = node;
            for (int direction = 0; direction < kDirections; ++direction) {
                const int down = kDown[direction], right = kRight[direction];
                const std::uint8_t state = row[down * states.pitch + right + x];
                if (state == kOutside) continue;
                if (state == kOpen && direction > 3) continue; // connected when its turn comes
                const std::uint8_t* other = rgb + 3 * (std::ptrdiff_t{down} * layer.width + right);
                const Capacity weight = contrast.weight(rgb, other, down != 0 && right != 0);
                if (state == kOpen) {
                    flow.connect(node, (down < 0 ? above : current)[x + 1 + right], direction, weight);
                } else {
                    excess += state == kDecided1 ? weight : -weight;
                }
            }
            flow.add_excess(node, excess);
        }
    }
    flow.solve();
    int node = 0;
    for (int y = 0; y < layer.height; ++y) {
        const std::uint8_t* row = states.row(y);
        for (int x = 0; x < layer.width; ++x) {
            if (row[x] == kOpen) mask[std::size_t{1} * y * layer.width + x] = flow.on_source_side(node++);
        }
    }
}

void cut_whole(const Layer& layer, const Mixtures& mixtures, const Contrast& contrast, float data_weight, Mask& mask) {
    States states(layer);
    for (int y = 0; y < layer.height; ++y) {
        for (int x = 0; x < layer.width; ++x) {
            const std::uint8_t seed = layer.seed(std::size_t{1} * y * layer.width + x);
            states.row(y)[x] = is_sure(seed) ? side(seed) : std::uint8_t{kOpen};
        }
    }
    cut_open(layer, states, mixtures, contrast, data_weight, mask);
}

// Which pixels have a neighbour in the row or in the column on the other side of the mask.
Mask find_border(const Mask& mask, int height, int width) {
    Mask border(mask.size(), 0);
    for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) {
            const std::size_t place = std::size_t{1} * y * width + x;
            if (x > 0 && mask[place] != mask[place - 1]) border[place] = border[place - 1] = 1;
            if (y > 0 && mask[place] != mask[place - width]) border[place] = border[place - width] = 1;
        }
    }
    return border;
}

// Marks whatever is at most `reach` from a marked pixel, in rows, columns and diagonals.
void spread(Mask& marks, int height, int width, int reach) {
    const auto sweep = [reach](std::uint8_t* first, int length, std::ptrdiff_t step) {
        int last = -reach - 1; // the last marked place
        for (int i = 0; i < length; ++i) {
            if (first[i * step] == 1) last = i;
            else if (i - last <= reach) first[i * step] = 2;
        }
        last = length + reach;
        for (int i = length - 1; i >= 0; --i) {
            if (first[i * step] == 1) last = i;
            else if (last - i <= reach) first[i * step] = 2;
        }
        for (int i = 0; i < length; ++i) first[i * step] = first[i * step] != 0;
    };
    for (int y = 0; y < height; ++y) sweep(marks.data() + std::size_t{1} * y * width, width, 1);
    for (int x = 0; x < width; ++x) sweep(marks.data() + x, height, width);
}

Mask refine(const Layer& layer, const Mask& coarse, int coarse_height, int coarse_width, const Mixtures& mixtures,
            const Contrast& contrast, float data_weight, const CutSettings& settings) {
    Mask mask(layer.count());
    Mask near = find_border(coarse, coarse_height, coarse_width);
    for (int y = 0; y < layer.height; ++y) {
        for (int x = 0; x < layer.width; ++x) {
            const std::size_t place = std::size_t{1} * y * layer.width + x;
            const std::size_t cell = std::size_t{1} * (y / 2) * coarse_width + x / 2;
            const std::uint8_t seed = layer.seed(place);
            mask[place] = coarse[cell];
            if (is_sure(seed) && side(seed) != coarse[cell]) {
                mask[place] = side(seed);
                near[cell] = 1;
            }
        }
    }
    spread(near, coarse_height, coarse_width, settings.band);
    for (int round = 0; round < settings.band_rounds; ++round) {
        States states(layer);
        for (int y = 0; y < layer.height; ++y) {
            std::uint8_t* row = states.row(y);
            for (int x = 0; x < layer.width; ++x) {
                const std::size_t place = std::size_t{1} * y * layer.width + x;
                const bool open = near[std::size_t{1} * (y / 2) * coarse_width + x / 2] && !is_sure(layer.seed(place));
                row[x] = open ? std::uint8_t{kOpen} : mask[place];
            }
        }
        cut_open(layer, states, mixtures, contrast, data_weight, mask);
        if (round + 1 == settings.band_rounds) break;
        // Where the border lies at the band's edge, it may want to go farther.
        Mask more(near.size(), 0);
        bool any = false;
        for (int y = 0; y < layer.height; ++y) {
            for (int x = 0; x < layer.width; ++x) {
                if (states.row(y)[x] != kOpen) continue;
                const std::size_t place = std::size_t{1} * y * layer.width + x;
                for (int direction : {1, 3, 4, 6}) {
                    const std::uint8_t state = states.row(y)[kDown[direction] * states.pitch + kRight[direction] + x];
                    if (state > kDecided1 || state == mask[place]) continue;
                    const std::size_t other = place + std::ptrdiff_t{kDown[direction]} * layer.width + kRight[direction];
                    if (is_sure(layer.seed(other))) continue;
                    more[std::size_t{1} * (y / 2) * coarse_width + x / 2] = 1;
                    any = true;
                }
            }
        }
        if (!any) break;
        spread(more, coarse_height, coarse_width, 2 * settings.band);
        for (std::size_t cell = 0; cell < near.size(); ++cell) near[cell] |= more[cell];
    }
    return mask;
}

} // namespace

std::array<Mixture, 2> fit_seeds(const SeededPhoto& photo, int sample_px) {
    const Layer sample(photo, stride_for(photo, sample_px));
    std::array<std::size_t, 2> counted{};
    for (std::size_t place = 0; place < std::size_t{1} * photo.height * photo.width; ++place) {
        ++counted[side(photo.seeds[place])];
    }
    const Mixtures found = find_mixtures(sample, counted);
    return learn(sample, found, [&](std::size_t place) { return side(sample.seed(place)); });
}

void cut_photo(const SeededPhoto& photo, const CutSettings& settings, std::uint8_t* out) {
    Mixtures mixtures = fit_seeds(photo, settings.sample_px);
    int stride = stride_for(photo, settings.coarse_px);
    const auto data_weight = [&](int s) { return std::pow(float(s), settings.power); };
    const Layer coarse(photo, stride);
    int height = coarse.height, width = coarse.width;
    Mask mask(coarse.count());
    for (std::size_t place = 0; place < coarse.count(); ++place) mask[place] = side(coarse.seed(place));
    const Contrast contrast(coarse, settings.sample_px);
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
        if (iteration > 0) mixtures = learn(coarse, mixtures, [&](std::size_t place) { return mask[place]; });
        cut_whole(coarse, mixtures, contrast, data_weight(stride), mask);
    }
    while (stride > 1) {
        stride /= 2;
        const Layer layer(photo, stride);
        mask = refine(layer, mask, height, width, mixtures, Contrast(layer, settings.sample_px), data_weight(stride),
                      settings);
        height = layer.height, width = layer.width;
    }
    std::copy(mask.begin(), mask.end(), out);
}

} // namespace weakseg
