// Mean-field inference of a dense CRF with Potts models (Kraehenbuehl & Koltun, NIPS 2011), on one core.

#pragma once

#include <cstdint>

namespace weakseg {

struct Problem {
    const float* logits;  // (labels, height, width)
    const uint8_t* rgb;   // (height, width, 3)
    int labels, height, width;
    float smooth_sigma;               // pixels
    float colour_sigma, colour_rgb;   // pixels, grey levels
    const float* smooth_weights;      // one per label
    const float* colour_weights;      // one per label
    int steps;
    int stride;       // steps run on a grid of every stride-th row and column
    float sparse;     // a grid whose lattice has more vertices per point than this is made finer
    float plausible;  // a label that nowhere has this probability at first takes no part
    float sure;       // of two labels: pixels whose logits are farther apart on the grid stay as they are
};

// Writes (labels, height, width) probabilities to `probs`, which is all zeros before. False: logits are not finite.
bool infer(const Problem& problem, float* probs);

}  // namespace weakseg
