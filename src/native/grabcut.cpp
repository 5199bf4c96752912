#include "grabcut.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace weakseg {
namespace {

constexpr std::size_t kSamplePixels = 4'000'000; // of which the first clusters are chosen

using Mixtures = std::array<Mixture, 2>; // background, object
using Marks = std::vector<std::uint8_t>; // 0 or 1 for each pixel of a layer

// Decided sides are 0 and 1.
constexpr std::uint8_t kOpen = 2, kOutside = 3;

// The sides of a layer's pixels, with a frame of kOutside around them.
class Sides {
public:
    explicit Sides(const Layer& layer)
        : height(layer.height()), width(layer.width()), pitch(layer.width() + 2),
          all_(std::size_t{1} * (height + 2) * pitch, kOutside) {}

    std::uint8_t* row(int y) { return all_.data() + spot(y, 0); }
    const std::uint8_t* row(int y) const { return all_.data() + spot(y, 0); }
    std::uint8_t& at(std::size_t spot) { return all_[spot]; }
    std::size_t spot(int y, int x) const { return std::size_t{1} * (y + 1) * pitch + x + 1; }
    std::ptrdiff_t offset(int direction) const { return std::ptrdiff_t{kDown[direction]} * pitch + kRight[direction]; }
    std::size_t count() const { return all_.size(); }

    int height, width, pitch;

private:
    std::vector<std::uint8_t> all_;
};

// A pixel that is to be decided.
struct Open {
    std::size_t place; // in its layer
    std::size_t spot;  // in the sides
};

using Opens = std::vector<Open>; // by rows

// The colours of a layer's background and object, by rows.
std::array<Colours, 2> part_colours(const Layer& layer, const Sides& sides) {
    std::array<Colours, 2> parted;
    for (Colours& colours : parted) colours.reserve(layer.count());
    for (int y = 0; y < layer.height(); ++y) {
        const std::uint8_t* row = sides.row(y);
        const std::uint8_t* rgb = layer.rgb(std::size_t{1} * y * layer.width());
        for (int x = 0; x < layer.width(); ++x) parted[row[x]].add(rgb + 3 * x);
    }
    return parted;
}

Sides sides_of_seeds(const Layer& layer) {
    Sides sides(layer);
    for (int y = 0; y < layer.height(); ++y) {
        const std::size_t row = std::size_t{1} * y * layer.width();
        for (int x = 0; x < layer.width(); ++x) sides.row(y)[x] = side_of(layer.seed(row + x));
    }
    return sides;
}

Mixtures relearn(const Mixtures& mixtures, const std::array<Colours, 2>& parted) {
    return {mixtures[0].relearned(parted[0]), mixtures[1].relearned(parted[1])};
}

std::array<std::size_t, 2> count_sides(const SeededPhoto& photo) {
    std::size_t object = 0;
    for (std::size_t place = 0; place < photo.count(); ++place) object += side_of(photo.seeds[place]);
    return {photo.count() - object, object};
}

std::size_t count_open(const SeededPhoto& photo) {
    std::size_t open = 0;
    for (std::size_t place = 0; place < photo.count(); ++place) open += !is_sure(photo.seeds[place]);
    return open;
}

// The least stride, a power of two, that leaves about so many pixels.
int stride_for(std::size_t pixels, std::size_t most_px) {
    int stride = 1;
    while (pixels / stride / stride > most_px) stride *= 2;
    return stride;
}

Mixtures find_mixtures(const SeededPhoto& photo, const std::array<std::size_t, 2>& counted) {
    const auto find = [&](int stride) {
        const Layer sample(photo, stride);
        return part_colours(sample, sides_of_seeds(sample));
    };
    std::array<Colours, 2> parted = find(stride_for(photo.count(), kSamplePixels));
    if (parted[0].count() == 0 || parted[1].count() == 0) parted = find(1); // a speck that the sample misses
    Random random;
    Mixtures mixtures;
    for (const int side : {0, 1}) {
        const Clusters clusters = find_clusters(std::move(parted[side]), counted[side], random);
        mixtures[side] = Mixture(clusters.colours, clusters.numbers);
    }
    return mixtures;
}

// What it costs more to call each open pixel background than object.
std::vector<Capacity> weigh(const Layer& layer, const Opens& opens, const Mixtures& mixtures) {
    Colours colours;
    colours.reserve(opens.size());
    for (const Open& open : opens) colours.add(layer.rgb(open.place));
    const std::vector<float> background = mixtures[0].costs(colours), object = mixtures[1].costs(colours);
    std::vector<Capacity> excess(opens.size());
    // A pixel stands for stride x stride of them, and prices are those of stride pixels: a border is as long.
    const auto weight = static_cast<float>(layer.stride());
    for (std::size_t i = 0; i < opens.size(); ++i) {
        const float data = std::clamp(weight * (background[i] - object[i]), -kCertain, kCertain);
        excess[i] = static_cast<Capacity>(data * kUnits);
    }
    return excess;
}

// The graph of a layer's open pixels; the decided ones pull at their neighbours.
class Cut {
public:
    Cut(const Opens& opens, const Edges& edges, Sides& sides) : opens_(opens), flow_(sides.count(), sides.pitch) {
        for (const Open& open : opens) sides.at(open.spot) = kOpen;
        for (const auto& [place, spot] : opens) {
            Capacity excess = 0;
            for (int direction = 0; direction < kDirections; ++direction) {
                const std::uint8_t side = sides.at(spot + sides.offset(direction));
                if (side == kOutside) continue;
                const Capacity price = edges.between(place, direction);
                if (side != kOpen) excess += side == 1 ? price : -price;
                else if (direction >= kDirections / 2) flow_.connect(spot, direction, price);
            }
            flow_.open(spot, excess);
        }
        data_.resize(opens.size());
    }

    // Decides all open pixels, for these costs of calling them background rather than object.
    void decide(std::vector<Capacity> data, Sides& sides) {
        for (std::size_t i = 0; i < opens_.size(); ++i) flow_.add_excess(opens_[i].spot, data[i] - data_[i]);
        data_ = std::move(data);
        flow_.solve();
        for (const Open& open : opens_) sides.at(open.spot) = flow_.on_source_side(open.spot);
    }

private:
    const Opens& opens_;
    std::vector<Capacity> data_; // as last decided by
    Flow flow_;
};

// Cuts a whole layer, as often as asked for; the colours are fitted anew each time.
Sides cut_layer(const Layer& layer, const Edges& edges, int iterations, Mixtures& mixtures) {
    Sides sides = sides_of_seeds(layer);
    Opens opens;
    for (int y = 0; y < layer.height(); ++y) {
        for (int x = 0; x < layer.width(); ++x) {
            const std::size_t place = std::size_t{1} * y * layer.width() + x;
            if (!is_sure(layer.seed(place))) opens.push_back({place, sides.spot(y, x)});
        }
    }
    const Sides begun = sides;
    Cut cut(opens, edges, sides);
    sides = begun;
    for (int iteration = 0; iteration < iterations; ++iteration) {
        mixtures = relearn(mixtures, part_colours(layer, sides));
        cut.decide(weigh(layer, opens, mixtures), sides);
    }
    return sides;
}

// The sides of a layer at half the size, and the sure seeds over them. Marks pixels of the half layer that a seed contradicts.
Sides enlarge(const Sides& half, const Layer& layer, Marks& contradicted) {
    Sides sides(layer);
    for (int y = 0; y < sides.height; ++y) {
        const std::uint8_t* from = half.row(y / 2);
        std::uint8_t* row = sides.row(y);
        for (int x = 0; x < sides.width; ++x) {
            const std::uint8_t seed = layer.seed(std::size_t{1} * y * layer.width() + x);
            row[x] = is_sure(seed) ? seed : from[x / 2];
            if (row[x] != from[x / 2]) contradicted[std::size_t{1} * (y / 2) * half.width + x / 2] = 1;
        }
    }
    return sides;
}

// Marks pixels that have a neighbour in the same row or column on the other side.
void mark_border(const Sides& sides, Marks& marks) {
    for (int y = 0; y < sides.height; ++y) {
        const std::uint8_t *row = sides.row(y), *next = sides.row(std::min(y + 1, sides.height - 1));
        std::uint8_t* mark = marks.data() + std::size_t{1} * y * sides.width;
        std::uint8_t* mark_next = y + 1 < sides.height ? mark + sides.width : mark;
        for (int x = 0; x < sides.width; ++x) {
            const std::uint8_t differs = row[x] ^ next[x];
            mark[x] |= differs;
            mark_next[x] |= differs;
        }
        for (int x = 0; x + 1 < sides.width; ++x) {
            const std::uint8_t differs = row[x] ^ row[x + 1];
            mark[x] |= differs;
            mark[x + 1] |= differs;
        }
    }
}

// Marks whatever is at most `reach` rows and columns from a mark.
Marks spread(const Marks& marks, int height, int width, int reach) {
    const auto spread_rows = [](const std::uint8_t* from, std::uint8_t* to, int length) {
        for (int i = 0; i < length; ++i) to[i] |= from[i];
    };
    Marks down(marks.size(), 0), both(marks.size(), 0);
    for (int y = 0; y < height; ++y) {
        for (int other = std::max(y - reach, 0); other <= std::min(y + reach, height - 1); ++other) {
            spread_rows(&marks[std::size_t{1} * other * width], &down[std::size_t{1} * y * width], width);
        }
    }
    for (int y = 0; y < height; ++y) {
        const std::uint8_t* from = &down[std::size_t{1} * y * width];
        std::uint8_t* to = &both[std::size_t{1} * y * width];
        for (int shift = 0; shift <= std::min(reach, width - 1); ++shift) {
            spread_rows(from, to + shift, width - shift);
            spread_rows(from + shift, to, width - shift);
        }
    }
    return both;
}

// The sides of a layer from those at half its size: the border may move by `band` pixels of the half layer.
Sides refine(const Sides& half, const Layer& layer, const Edges& edges, const Mixtures& mixtures, int band) {
    Marks marks(std::size_t{1} * half.height * half.width, 0);
    Sides sides = enlarge(half, layer, marks);
    mark_border(half, marks);
    const Marks near = spread(marks, half.height, half.width, band);
    Opens opens;
    for (int y = 0; y < sides.height; ++y) {
        const std::uint8_t* is_near = &near[std::size_t{1} * (y / 2) * half.width];
        for (int x = 0; x < sides.width; ++x) {
            const std::size_t place = std::size_t{1} * y * sides.width + x;
            if (is_near[x / 2] && !is_sure(layer.seed(place))) opens.push_back({place, sides.spot(y, x)});
        }
    }
    Cut(opens, edges, sides).decide(weigh(layer, opens, mixtures), sides);
    return sides;
}

std::vector<std::uint8_t> unframe(const Sides& sides) {
    std::vector<std::uint8_t> mask;
    mask.reserve(std::size_t{1} * sides.height * sides.width);
    for (int y = 0; y < sides.height; ++y) mask.insert(mask.end(), sides.row(y), sides.row(y) + sides.width);
    return mask;
}

} // namespace

std::array<Mixture, 2> fit_seeds(const SeededPhoto& photo) {
    const Mixtures found = find_mixtures(photo, count_sides(photo));
    const Layer layer(photo, 1);
    return relearn(found, part_colours(layer, sides_of_seeds(layer)));
}

std::vector<std::uint8_t> cut_photo(const SeededPhoto& photo, const CutSettings& settings) {
    const std::array<std::size_t, 2> counted = count_sides(photo);
    if (counted[0] == 0 || counted[1] == 0) return std::vector<std::uint8_t>(photo.count(), counted[1] > 0);
    Mixtures mixtures = find_mixtures(photo, counted);
    int stride = stride_for(count_open(photo), settings.coarse_px);
    const Layer full(photo, 1);
    std::vector<Edges> edges{Edges(full)}; // of the strides 1, 2, 4 ...
    for (int of = 1; of < stride; of *= 2) edges.push_back(edges.back().halved());
    Sides sides = cut_layer(Layer(photo, stride), edges.back(), settings.iterations, mixtures);
    while (stride > 1) {
        stride /= 2;
        edges.pop_back();
        sides = refine(sides, stride == 1 ? full : Layer(photo, stride), edges.back(), mixtures, settings.band);
    }
    return unframe(sides);
}

} // namespace weakseg
