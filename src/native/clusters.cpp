#include "colours.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace weakseg {
namespace {

constexpr std::size_t kBlock = 64; // sums of 64 squared distances are whole numbers below 2^24: exact in float
constexpr int kLanes = 8;
constexpr int kTries = 3;
constexpr int kRounds = 10;
constexpr std::size_t kEnough = 250'000; // colours that show where the centres go

using Centre = std::array<float, 3>;

Centre colour_at(const Colours& colours, std::size_t index) {
    return {colours.channels[0][index], colours.channels[1][index], colours.channels[2][index]};
}

// Squared distances to the nearest centre so far, and their sums by block.
struct Distances {
    std::vector<float> each;
    std::vector<float> of_block;
    double total = 0;

    explicit Distances(std::size_t count)
        : each(count, std::numeric_limits<float>::max()), of_block((count + kBlock - 1) / kBlock) {}
};

// `nearer`: the distances once there is one centre more.
WEAKSEG_CLONES void add_centre(const Colours& colours, const Centre& centre, const Distances& before, Distances& nearer) {
    const float *r = colours.channels[0].data(), *g = colours.channels[1].data(), *b = colours.channels[2].data();
    const float* old = before.each.data();
    float* fresh = nearer.each.data();
    const auto measure = [&](std::size_t i) {
        const float dr = r[i] - centre[0], dg = g[i] - centre[1], db = b[i] - centre[2];
        const float distance = dr * dr + dg * dg + db * db;
        fresh[i] = distance < old[i] ? distance : old[i];
    };
    const std::size_t count = colours.count();
    nearer.total = 0;
    for (std::size_t block = 0; block < nearer.of_block.size(); ++block) {
        const std::size_t begin = block * kBlock, end = std::min(begin + kBlock, count);
        float sums[kLanes] = {};
        std::size_t i = begin;
        for (; i + kLanes <= end; i += kLanes) {
            for (std::size_t lane = 0; lane < kLanes; ++lane) {
                measure(i + lane);
                sums[lane] += fresh[i + lane];
            }
        }
        for (; i < end; ++i) {
            measure(i);
            sums[0] += fresh[i];
        }
        float sum = 0;
        for (const float part : sums) sum += part;
        nearer.of_block[block] = sum;
        nearer.total += sum;
    }
}

// The first colour at which the running sum of distances reaches `target`.
std::size_t find_place(const Distances& distances, double target) {
    std::size_t block = 0;
    while (block + 1 < distances.of_block.size() && target > distances.of_block[block]) {
        target -= distances.of_block[block++];
    }
    std::size_t index = block * kBlock;
    for (; index + 1 < distances.each.size(); ++index) {
        target -= distances.each[index];
        if (target <= 0) break;
    }
    return index;
}

std::vector<Centre> choose_centres(const Colours& colours, std::size_t counted, int wanted, Random& random) {
    const std::size_t count = colours.count();
    const double first = static_cast<double>(random.next() % counted) / static_cast<double>(counted);
    std::vector<Centre> centres{colour_at(colours, static_cast<std::size_t>(first * static_cast<double>(count)))};
    Distances now(count), best(count), tried(count);
    add_centre(colours, centres[0], tried, now);
    while (static_cast<int>(centres.size()) < wanted) {
        best.total = std::numeric_limits<double>::max();
        Centre chosen{};
        for (int attempt = 0; attempt < kTries; ++attempt) {
            const Centre centre = colour_at(colours, find_place(now, random.fraction() * now.total));
            add_centre(colours, centre, now, tried);
            if (tried.total < best.total) {
                chosen = centre;
                std::swap(best, tried);
            }
        }
        centres.push_back(chosen);
        std::swap(now, best);
    }
    return centres;
}

WEAKSEG_CLONES void assign(const Colours& colours, const std::vector<Centre>& centres, std::vector<std::uint8_t>& clusters) {
    const float *r = colours.channels[0].data(), *g = colours.channels[1].data(), *b = colours.channels[2].data();
    const std::size_t count = colours.count();
    float nearest[kBlock];
    std::int32_t which[kBlock];
    for (std::size_t begin = 0; begin < count; begin += kBlock) {
        const std::size_t length = std::min(kBlock, count - begin);
        for (std::size_t i = 0; i < length; ++i) nearest[i] = std::numeric_limits<float>::max(), which[i] = 0;
        for (std::size_t k = 0; k < centres.size(); ++k) {
            const Centre& centre = centres[k];
            for (std::size_t i = 0; i < length; ++i) {
                const float dr = r[begin + i] - centre[0], dg = g[begin + i] - centre[1], db = b[begin + i] - centre[2];
                const float distance = dr * dr + dg * dg + db * db;
                which[i] = distance < nearest[i] ? static_cast<std::int32_t>(k) : which[i];
                nearest[i] = distance < nearest[i] ? distance : nearest[i];
            }
        }
        for (std::size_t i = 0; i < length; ++i) clusters[begin + i] = static_cast<std::uint8_t>(which[i]);
    }
}

struct Tally {
    std::array<double, 3> sum{};
    std::size_t count = 0;
};

// Neighbours are often of one cluster: four tallies in turns wait for each other less.
std::vector<Tally> tally_all(const Colours& colours, std::size_t wanted, const std::vector<std::uint8_t>& clusters) {
    constexpr std::size_t kTurns = 4;
    Tally turns[kTurns][kGaussians];
    for (std::size_t i = 0; i < colours.count(); ++i) {
        Tally& tally = turns[i % kTurns][clusters[i]];
        for (int c = 0; c < 3; ++c) tally.sum[c] += colours.channels[c][i];
        ++tally.count;
    }
    std::vector<Tally> tallies(wanted);
    for (const auto& turn : turns) {
        for (std::size_t k = 0; k < wanted; ++k) {
            for (int c = 0; c < 3; ++c) tallies[k].sum[c] += turn[k].sum[c];
            tallies[k].count += turn[k].count;
        }
    }
    return tallies;
}

// Moves the colour that is farthest from the largest cluster's centre into an empty cluster.
void fill_empty(const Colours& colours, std::vector<Tally>& tallies, std::size_t empty,
                std::vector<std::uint8_t>& clusters) {
    const auto fuller = [](const Tally& a, const Tally& b) { return a.count < b.count; };
    const auto largest = static_cast<std::size_t>(
        std::max_element(tallies.begin(), tallies.end(), fuller) - tallies.begin());
    double farthest = 0;
    std::size_t moved = 0;
    for (std::size_t i = 0; i < colours.count(); ++i) {
        if (clusters[i] != largest) continue;
        double distance = 0;
        for (int c = 0; c < 3; ++c) {
            const double away = colours.channels[c][i] - tallies[largest].sum[c] / double(tallies[largest].count);
            distance += away * away;
        }
        if (distance >= farthest) farthest = distance, moved = i;
    }
    clusters[moved] = static_cast<std::uint8_t>(empty);
    --tallies[largest].count, ++tallies[empty].count;
    for (int c = 0; c < 3; ++c) {
        tallies[largest].sum[c] -= colours.channels[c][moved];
        tallies[empty].sum[c] += colours.channels[c][moved];
    }
}

void update_centres(const Colours& colours, std::vector<Centre>& centres, std::vector<std::uint8_t>& clusters) {
    std::vector<Tally> tallies = tally_all(colours, centres.size(), clusters);
    for (std::size_t k = 0; k < centres.size(); ++k) {
        if (tallies[k].count == 0) fill_empty(colours, tallies, k, clusters);
    }
    for (std::size_t k = 0; k < centres.size(); ++k) {
        for (int c = 0; c < 3; ++c) {
            centres[k][c] = static_cast<float>(tallies[k].sum[c] / static_cast<double>(tallies[k].count));
        }
    }
}

} // namespace

Clusters find_clusters(Colours colours, std::size_t counted, Random& random) {
    const auto wanted = static_cast<int>(std::min<std::size_t>(kGaussians, colours.count()));
    std::vector<Centre> centres = choose_centres(colours, counted, wanted, random);
    const std::size_t step = colours.count() / kEnough + 1;
    Clusters found{step > 1 ? colours.every(step) : std::move(colours), {}};
    found.numbers.resize(found.colours.count());
    assign(found.colours, centres, found.numbers);
    if (wanted == 1) return found;
    for (int round = 1; round < kRounds; ++round) {
        const std::vector<Centre> before = centres;
        update_centres(found.colours, centres, found.numbers);
        if (round == kRounds - 1 || centres == before) break; // the last round moves the centres only
        assign(found.colours, centres, found.numbers);
    }
    return found;
}

} // namespace weakseg
