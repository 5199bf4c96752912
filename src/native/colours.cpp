#include "colours.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace weakseg {
namespace {

constexpr double kSingular = 1e-6; // a determinant below this gets ...
constexpr double kNoise = 0.01;    // ... this much variance more in every channel

double determinant(const std::array<double, 6>& c) {
    return c[0] * (c[3] * c[5] - c[4] * c[4]) - c[1] * (c[1] * c[5] - c[4] * c[2]) + c[2] * (c[1] * c[4] - c[3] * c[2]);
}

// Upper triangle U of (rr, rg, rb, gg, gb, bb) with transposed(U) U = the inverse of `covariance`, row by row.
std::array<float, 6> factor_inverse(const std::array<double, 6>& covariance) {
    // Cholesky: covariance = L transposed(L); then the inverse's factor is inverse(L), which is lower; listed as
    // (l00, l10, l11, l20, l21, l22).
    const auto& [rr, rg, rb, gg, gb, bb] = covariance;
    const double l00 = std::sqrt(rr), l10 = rg / l00, l20 = rb / l00;
    const double l11 = std::sqrt(std::max(gg - l10 * l10, 1e-12)), l21 = (gb - l20 * l10) / l11;
    const double l22 = std::sqrt(std::max(bb - l20 * l20 - l21 * l21, 1e-12));
    const double i00 = 1 / l00, i11 = 1 / l11, i22 = 1 / l22;
    const double i10 = -l10 * i00 * i11, i21 = -l21 * i11 * i22;
    const double i20 = -(l20 * i00 + l21 * i10) * i22;
    return {float(i00), float(i10), float(i11), float(i20), float(i21), float(i22)};
}

} // namespace

Mixture::Gaussian::Gaussian(const Sums& sums, std::int64_t total) {
    if (sums.count == 0) return;
    const double count = static_cast<double>(sums.count);
    share = count / static_cast<double>(total);
    for (int c = 0; c < 3; ++c) mean[c] = static_cast<double>(sums.colour[c]) / count;
    constexpr int kFirst[] = {0, 0, 0, 1, 1, 2}, kSecond[] = {0, 1, 2, 1, 2, 2};
    for (int i = 0; i < 6; ++i) {
        covariance[i] = static_cast<double>(sums.products[i]) / count - mean[kFirst[i]] * mean[kSecond[i]];
    }
    if (determinant(covariance) <= kSingular) {
        for (const int diagonal : {0, 3, 5}) covariance[diagonal] += kNoise;
    }
    factor = factor_inverse(covariance);
    for (int c = 0; c < 3; ++c) mean_f[c] = static_cast<float>(mean[c]);
    constant = -std::log(factor[0] * factor[2] * factor[5]);
    log_share = static_cast<float>(std::log(share));
}

// -log of the density without the Gaussian's share.
float Mixture::Gaussian::cost(const std::uint8_t* rgb) const {
    const float r = float(rgb[0]) - mean_f[0], g = float(rgb[1]) - mean_f[1], b = float(rgb[2]) - mean_f[2];
    const float x = factor[0] * r, y = factor[1] * r + factor[2] * g, z = factor[3] * r + factor[4] * g + factor[5] * b;
    return constant + 0.5F * (x * x + y * y + z * z);
}

Mixture::Mixture(const AllSums& sums) {
    std::int64_t total = 0;
    for (const Sums& part : sums) total += part.count;
    for (int k = 0; k < kGaussians; ++k) gaussians_[k] = Gaussian(sums[k], total);
}

int Mixture::component(const std::uint8_t* rgb) const {
    int best = 0;
    float least = std::numeric_limits<float>::max();
    for (int k = 0; k < kGaussians; ++k) {
        if (gaussians_[k].share == 0) continue;
        const float cost = gaussians_[k].cost(rgb);
        if (cost < least) least = cost, best = k;
    }
    return best;
}

float Mixture::cost(const std::uint8_t* rgb) const {
    float costs[kGaussians], least = std::numeric_limits<float>::max();
    for (int k = 0; k < kGaussians; ++k) {
        const Gaussian& gaussian = gaussians_[k];
        costs[k] = gaussian.share == 0 ? std::numeric_limits<float>::max() : gaussian.cost(rgb) - gaussian.log_share;
        least = std::min(least, costs[k]);
    }
    float sum = 0;
    for (const float cost : costs) {
        if (cost - least < 20) sum += std::exp(least - cost); // the others are less than one part in 10^8
    }
    return least - std::log(sum);
}

std::array<double, 13 * kGaussians> Mixture::numbers() const {
    std::array<double, 13 * kGaussians> all{};
    for (int k = 0; k < kGaussians; ++k) {
        const Gaussian& gaussian = gaussians_[k];
        const auto& [rr, rg, rb, gg, gb, bb] = gaussian.covariance;
        all[k] = gaussian.share;
        std::copy(gaussian.mean.begin(), gaussian.mean.end(), all.begin() + kGaussians + 3 * k);
        const std::array<double, 9> matrix{rr, rg, rb, rg, gg, gb, rb, gb, bb};
        std::copy(matrix.begin(), matrix.end(), all.begin() + 4 * kGaussians + 9 * k);
    }
    return all;
}

} // namespace weakseg
