// GrabCut (Rother, Kolmogorov & Blake 2004), coarse to fine.

#pragma once

#include <array>
#include <cstdint>

#include "colours.h"

namespace weakseg {

enum Seed : std::uint8_t { kBackground = 0, kObject = 1, kMaybeBackground = 2, kMaybeObject = 3 }; // as cv2.GC_*

struct SeededPhoto {
    const std::uint8_t* rgb;   // (height, width, 3)
    const std::uint8_t* seeds; // (height, width) of Seed
    int height, width;
};

struct CutSettings {
    int iterations;  // rounds of fitting colours and cutting
    int coarse_px;   // pixels of the coarsest layer at most
    int sample_px;   // pixels at most that the first colours are fitted to
    int band;        // pixels of a coarser layer, to each side of the border, that are cut anew in the finer one
    int band_rounds; // how often a band may follow a border that leaves it
    float power; 
};

// The colours that a photo's seeds show: background, object.
std::array<Mixture, 2> fit_seeds(const SeededPhoto& photo, int sample_px);

// `mask`: (height, width) of 0 and 1.
void cut_photo(const SeededPhoto& photo, const CutSettings& settings, std::uint8_t* mask);

} // namespace weakseg
