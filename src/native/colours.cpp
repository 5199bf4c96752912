#include "colours.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace weakseg {
namespace {

constexpr std::size_t kBlock = 64;
constexpr double kSingular = 1e-6; // a covariance with a determinant up to this gets ...
constexpr double kNoise = 0.01;    // ... this much variance more in every channel, as in OpenCV
constexpr float kFar = std::numeric_limits<float>::max();

double determinant(const std::array<double, 6>& c) {
    return c[0] * (c[3] * c[5] - c[4] * c[4]) - c[1] * (c[1] * c[5] - c[4] * c[2]) + c[2] * (c[1] * c[4] - c[3] * c[2]);
}

// The inverse of a covariance's Cholesky factor, lower triangle by rows.
std::array<float, 6> invert_factor(const std::array<double, 6>& covariance) {
    const auto& [rr, rg, rb, gg, gb, bb] = covariance;
    constexpr double kLeast = 1e-12; // rounding may leave less than nothing
    const double l00 = std::sqrt(std::max(rr, kLeast)), l10 = rg / l00, l20 = rb / l00;
    const double l11 = std::sqrt(std::max(gg - l10 * l10, kLeast)), l21 = (gb - l20 * l10) / l11;
    const double l22 = std::sqrt(std::max(bb - l20 * l20 - l21 * l21, kLeast));
    const double i10 = -l10 / (l00 * l11), i21 = -l21 / (l11 * l22);
    const double i20 = -(l20 / l00 + l21 * i10) / l22;
    return {float(1 / l00), float(i10), float(1 / l11), float(i20), float(i21), float(1 / l22)};
}

// exp(x) for x <= 0 to seven digits, in steps that a compiler can vectorise: 2^whole as a float's exponent, 2^rest as a
// polynomial.
inline float exp_of(float x) {
    const float power = std::max(x, -80.0F) * 1.44269504F;
    const auto whole = static_cast<std::int32_t>(power - 0.5F);
    const float rest = (power - static_cast<float>(whole)) * 0.693147181F; // at most 0.35 from 0
    const float series = 1 + rest * (1 + rest * (0.5F + rest * (1 / 6.0F + rest * (1 / 24.0F + rest * (1 / 120.0F
                         + rest * (1 / 720.0F))))));
    const std::int32_t bits = (whole + 127) * (1 << 23);
    float scale;
    std::memcpy(&scale, &bits, sizeof scale);
    return scale * series;
}

} // namespace

Colours Colours::every(std::size_t step) const {
    Colours some;
    some.reserve(count() / step + 1);
    for (int c = 0; c < 3; ++c) {
        for (std::size_t i = step / 2; i < count(); i += step) some.channels[c].push_back(channels[c][i]);
    }
    return some;
}

// Over the colours of one Gaussian: whole numbers, so that their order does not matter.
struct Mixture::Sums {
    double count = 0;
    std::array<double, 3> colour{};
    std::array<double, 6> products{}; // rr, rg, rb, gg, gb, bb

    void add(double r, double g, double b) {
        ++count;
        colour[0] += r, colour[1] += g, colour[2] += b;
        products[0] += r * r, products[1] += r * g, products[2] += r * b;
        products[3] += g * g, products[4] += g * b, products[5] += b * b;
    }
};

Mixture::Mixture(const Colours& colours, const std::vector<std::uint8_t>& components) {
    std::array<Sums, kGaussians> sums;
    for (std::size_t i = 0; i < colours.count(); ++i) {
        sums[components[i]].add(colours.channels[0][i], colours.channels[1][i], colours.channels[2][i]);
    }
    for (int k = 0; k < kGaussians; ++k) gaussians_[k] = fit(sums[k], static_cast<double>(colours.count()));
}

Mixture::Parameters Mixture::fit(const Sums& sums, double total) {
    Parameters gaussian;
    if (sums.count == 0) return gaussian;
    gaussian.share = sums.count / total;
    for (int c = 0; c < 3; ++c) gaussian.mean[c] = sums.colour[c] / sums.count;
    constexpr int kFirst[] = {0, 0, 0, 1, 1, 2}, kSecond[] = {0, 1, 2, 1, 2, 2};
    for (int i = 0; i < 6; ++i) {
        const double product = gaussian.mean[kFirst[i]] * gaussian.mean[kSecond[i]];
        gaussian.covariance[i] = sums.products[i] / sums.count - product;
    }
    if (determinant(gaussian.covariance) <= kSingular) {
        for (const int diagonal : {0, 3, 5}) gaussian.covariance[diagonal] += kNoise;
    }
    gaussian.factor = invert_factor(gaussian.covariance);
    gaussian.constant = -std::log(gaussian.factor[0] * gaussian.factor[2] * gaussian.factor[5]);
    return gaussian;
}

// -log of the density under one Gaussian, its share left out. At most kBlock colours.
WEAKSEG_CLONES void Mixture::measure(const Parameters& gaussian, const Colours& colours, std::size_t begin, std::size_t length,
                      float* costs) {
    const float* red = colours.channels[0].data() + begin;
    const float* green = colours.channels[1].data() + begin;
    const float* blue = colours.channels[2].data() + begin;
    const auto [xr, yr, yg, zr, zg, zb] = gaussian.factor;
    const float mean_r = float(gaussian.mean[0]), mean_g = float(gaussian.mean[1]), mean_b = float(gaussian.mean[2]);
    for (std::size_t i = 0; i < length; ++i) {
        const float r = red[i] - mean_r, g = green[i] - mean_g, b = blue[i] - mean_b;
        const float x = xr * r, y = yr * r + yg * g, z = zr * r + zg * g + zb * b;
        costs[i] = gaussian.constant + 0.5F * (x * x + y * y + z * z);
    }
}

Mixture Mixture::relearned(const Colours& colours) const {
    std::vector<std::uint8_t> components(colours.count());
    float costs[kBlock], least[kBlock];
    std::int32_t best[kBlock];
    for (std::size_t begin = 0; begin < colours.count(); begin += kBlock) {
        const std::size_t length = std::min(kBlock, colours.count() - begin);
        std::fill_n(least, length, kFar);
        std::fill_n(best, length, 0);
        for (int k = 0; k < kGaussians; ++k) {
            if (gaussians_[k].share == 0) continue;
            measure(gaussians_[k], colours, begin, length, costs);
            for (std::size_t i = 0; i < length; ++i) {
                best[i] = costs[i] < least[i] ? k : best[i];
                least[i] = std::min(costs[i], least[i]);
            }
        }
        std::copy_n(best, length, components.begin() + static_cast<std::ptrdiff_t>(begin));
    }
    return {colours, components};
}

std::vector<float> Mixture::costs(const Colours& colours) const {
    std::vector<float> all(colours.count());
    float costs[kGaussians][kBlock], least[kBlock], sum[kBlock];
    for (std::size_t begin = 0; begin < colours.count(); begin += kBlock) {
        const std::size_t length = std::min(kBlock, colours.count() - begin);
        std::fill_n(least, length, kFar);
        std::fill_n(sum, length, 0.0F);
        for (int k = 0; k < kGaussians; ++k) {
            std::fill_n(costs[k], length, kFar);
            if (gaussians_[k].share == 0) continue;
            measure(gaussians_[k], colours, begin, length, costs[k]);
            const auto log_share = static_cast<float>(std::log(gaussians_[k].share));
            for (std::size_t i = 0; i < length; ++i) {
                costs[k][i] -= log_share;
                least[i] = std::min(costs[k][i], least[i]);
            }
        }
        for (const auto& of_one : costs) {
            for (std::size_t i = 0; i < length; ++i) sum[i] += exp_of(least[i] - of_one[i]);
        }
        for (std::size_t i = 0; i < length; ++i) all[begin + i] = least[i] - std::log(sum[i]);
    }
    return all;
}

std::array<double, Mixture::kNumbers> Mixture::numbers() const {
    std::array<double, kNumbers> all{};
    for (int k = 0; k < kGaussians; ++k) {
        const auto& [rr, rg, rb, gg, gb, bb] = gaussians_[k].covariance;
        const std::array<double, 9> matrix{rr, rg, rb, rg, gg, gb, rb, gb, bb};
        all[k] = gaussians_[k].share;
        std::copy(gaussians_[k].mean.begin(), gaussians_[k].mean.end(), all.begin() + kGaussians + 3 * k);
        std::copy(matrix.begin(), matrix.end(), all.begin() + 4 * kGaussians + 9 * k);
    }
    return all;
}

} // namespace weakseg
