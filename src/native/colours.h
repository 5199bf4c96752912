// The colours of one side of a cut, object or background: clusters, then Gaussians.
//
// As in OpenCV's grabCut: k-means with k-means++ beginnings (Arthur & Vassilvitskii 2007; the best of three tries per
// centre, ten rounds) by the same random numbers, five full Gaussians, hard assignment.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

// A function that is compiled for AVX2 too; which one runs is decided when the library is loaded. Both round alike.
#if defined(__x86_64__) && defined(__GLIBC__)
#define WEAKSEG_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define WEAKSEG_CLONES
#endif

namespace weakseg {

constexpr int kGaussians = 5;

// OpenCV's generator (multiply with carry), as cv2.setRNGSeed(0) begins it.
class Random {
public:
    std::uint32_t next() {
        state_ = (state_ & 0xffffffff) * 4164903690U + (state_ >> 32);
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
    Colours every(std::size_t step) const;

    void reserve(std::size_t expected) {
        for (auto& channel : channels) channel.reserve(expected);
    }

    void add(const std::uint8_t* rgb) {
        for (int c = 0; c < 3; ++c) channels[c].push_back(rgb[c]);
    }
};

// Colours that show how five clusters divide others, and the cluster of each.
struct Clusters {
    Colours colours;
    std::vector<std::uint8_t> numbers;
};

// k-means of at least one colour. `counted`: how many pixels the colours are an even sample of; the random choices fall
// on the same places as if all of them were here.
Clusters find_clusters(Colours colours, std::size_t counted, Random& random);

// Five Gaussians over colours, mixed.
class Mixture {
public:
    static constexpr int kNumbers = 13 * kGaussians;

    Mixture() = default;
    Mixture(const Colours& colours, const std::vector<std::uint8_t>& components);

    // Fitted to colours that each belong to the one Gaussian of this mixture under which they are densest.
    Mixture relearned(const Colours& colours) const;

    // -log of each colour's density, but for a constant that all mixtures share.
    std::vector<float> costs(const Colours& colours) const;

    // Shares (5), means (5 x 3) and covariances (5 x 9), in OpenCV's order.
    std::array<double, kNumbers> numbers() const;

private:
    struct Sums;

    struct Parameters {
        double share = 0;
        std::array<double, 3> mean{};
        std::array<double, 6> covariance{}; // rr, rg, rb, gg, gb, bb
        std::array<float, 6> factor{};      // lower triangle, by rows: its product with (colour - mean) has unit variance
        float constant = 0;                 // half the log of the determinant
    };

    static Parameters fit(const Sums& sums, double total);
    static void measure(const Parameters& gaussian, const Colours& colours, std::size_t begin, std::size_t length,
                        float* costs);

    std::array<Parameters, kGaussians> gaussians_{};
};

} // namespace weakseg
