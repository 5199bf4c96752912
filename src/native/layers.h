// A seeded photo at several sizes: every stride-th pixel, and what it costs to part neighbours there.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "colours.h"
#include "maxflow.h"

namespace weakseg {

// As cv2.GC_BGD ...: the lowest bit is the side, the next one says whether it may change.
enum Seed : std::uint8_t { kBackground = 0, kObject = 1, kMaybeBackground = 2, kMaybeObject = 3 };

inline std::uint8_t side_of(std::uint8_t seed) { return seed & 1; }
inline bool is_sure(std::uint8_t seed) { return seed < kMaybeBackground; }

struct SeededPhoto {
    const std::uint8_t* rgb;   // (height, width, 3)
    const std::uint8_t* seeds; // (height, width) of Seed
    int height, width;

    std::size_t count() const { return std::size_t{1} * height * width; }
};

// Every stride-th pixel of a photo in both directions, and of its seeds: from the middles of squares.
class Layer {
public:
    Layer(const SeededPhoto& photo, int stride);

    int stride() const { return stride_; }
    int height() const { return pixels_.height; }
    int width() const { return pixels_.width; }
    std::size_t count() const { return pixels_.count(); }
    const std::uint8_t* rgb(std::size_t place) const { return pixels_.rgb + 3 * place; }
    std::uint8_t seed(std::size_t place) const { return pixels_.seeds[place]; }

private:
    int stride_;
    SeededPhoto pixels_; // the photo itself where the stride is 1, else what is copied here:
    std::vector<std::uint8_t> rgb_, seeds_;
};

constexpr double kGamma = 50;     // OpenCV's price of parting equal colours
constexpr float kUnits = 512;     // prices are whole numbers of 1 / 512
constexpr float kCertain = 400;   // more than all edges of a pixel together: 4 x 50 and 4 x 50 / sqrt(2)

// What it costs to part neighbours.
class Edges {
public:
    // Of a photo: OpenCV's gamma exp(-beta |difference|^2) / distance.
    explicit Edges(const Layer& layer);

    // At half the size. Between two pixels that are two apart, the cheapest step on the straight way is what a cut
    // would take: so a border costs here what it costs there, though colours further apart differ more.
    Edges halved() const;

    // Both pixels must be there.
    Capacity between(std::size_t place, int direction) const {
        constexpr int kBack = kDirections / 2;
        if (direction >= kBack) return forward_[direction - kBack][place];
        return forward_[kBack - 1 - direction][place + offset(direction)];
    }

private:
    Edges(int height, int width);

    std::ptrdiff_t offset(int direction) const { return std::ptrdiff_t{kDown[direction]} * width_ + kRight[direction]; }

    int height_, width_;
    std::array<std::vector<std::uint16_t>, kDirections / 2> forward_; // right, down left, down, down right
};

} // namespace weakseg
