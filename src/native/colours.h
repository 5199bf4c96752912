// The colours of one side of a cut, object or background: clusters and Gaussians.
//
// Everything as in OpenCV's grabCut: k-means with k-means++ beginnings (Arthur & Vassilvitskii 2007; the best of three tries
// per centre, ten rounds, OpenCV's random numbers), five full Gaussians, hard assignment.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace weakseg {

constexpr int kGaussians = 5;

using Colour = std::array<std::uint8_t, 3>;

// OpenCV's generator (multiply with carry), begun as cv2.setRNGSeed(0) begins it.
class Random {
public:
    std::uint32_t next() {
        state_ = static_cast<std::uint32_t>(state_) * std::uint64_t{4164903690U} + (state_ >> 32);
        return static_cast<std::uint32_t>(state_);
    }

    // In [0, 1).
    double fraction() {
        const std::uint64_t high = next();
        return static_cast<double>(high << 32 | next()) * 0x1p-64;
    }

private:
    std::uint64_t state_ = 0xffffffff;
};

// Colours by channel, for loops that a compiler can vectorise.
struct Colours {
    std::array<std::vector<float>, 3> channels;

    std::size_t count() const { return channels[0].size(); }

    void add(const std::uint8_t* rgb) {
        for (int c = 0; c < 3; ++c) channels[c].push_back(rgb[c]);
    }
};

// The cluster of each colour, 0 to 4.
//
// `counted`: how many pixels the colours are an even sample of. The random choices fall on the same places as if all of
// them were here.
std::vector<std::uint8_t> find_clusters(const Colours& colours, std::size_t counted, Random& random);

// Sums over the colours of one Gaussian.
struct Sums {
    std::int64_t count = 0;
    std::array<std::int64_t, 3> colour{};
    std::array<std::int64_t, 6> products{}; // rr, rg, rb, gg, gb, bb

    void add(const std::uint8_t* rgb) {
        const std::int64_t r = rgb[0], g = rgb[1], b = rgb[2];
        ++count;
        colour[0] += r, colour[1] += g, colour[2] += b;
        products[0] += r * r, products[1] += r * g, products[2] += r * b;
        products[3] += g * g, products[4] += g * b, products[5] += b * b;
    }
};

// Five Gaussians over colours, mixed.
class Mixture {
public:
    using AllSums = std::array<Sums, kGaussians>;

    Mixture() = default;
    explicit Mixture(const AllSums& sums);

    // The Gaussian under which a colour is densest, whatever its share.
    int component(const std::uint8_t* rgb) const;

    // -log of the density, but for the constant that all mixtures share.
    float cost(const std::uint8_t* rgb) const;

    // Shares (5), means (5 x 3) and covariances (5 x 9), in OpenCV's order.
    std::array<double, 13 * kGaussians> numbers() const;

private:
    struct Gaussian {
        double share = 0;
        std::array<double, 3> mean{};
        std::array<double, 6> covariance{};
        // The inverse's factor: squares of its rows times (colour - mean) add up to the squared Mahalanobis distance.
        std::array<float, 6> factor{};
        std::array<float, 3> mean_f{};
        float constant = 0; // half the log of the determinant
        float log_share = 0;

        Gaussian() = default;
        Gaussian(const Sums& sums, std::int64_t total);
        float cost(const std::uint8_t* rgb) const;
    };

    std::array<Gaussian, kGaussians> gaussians_{};
};

} // namespace weakseg
