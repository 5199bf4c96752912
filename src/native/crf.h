// Mean-field inference of a dense CRF with Potts models (Kraehenbuehl & Koltun, NIPS 2011), on one core.

#pragma once

#include <cstdint>
#include <vector>

namespace weakseg {

// Steps on a grid of every `stride`-th row and column.
struct Level {
    int stride;
    int steps;
};

struct Problem {
    const float* logits;  // (labels, height, width)
    const uint8_t* rgb;   // (height, width, 3)
    int labels, height, width;
    float smooth_sigma;               // pixels
    float colour_sigma, colour_rgb;   // pixels, grey levels
    const float* smooth_weights;      // one per label
    const float* colour_weights;      // one per label
    std::vector<Level> levels;        // coarse to fine; the sum of their steps is what was asked for
    float plausible;                  // a label that nowhere has this probability at first takes no part
};

// Writes (labels, height, width) probabilities to `probs`, which is all zeros before. False: logits are not finite.
bool infer(const Problem& problem, float* probs);

}  // namespace weakseg
