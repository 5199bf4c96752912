// GrabCut (Rother, Kolmogorov & Blake, SIGGRAPH 2004) as OpenCV computes it, coarse to fine where there is much to decide.
//
// Colours are fitted, and object and background parted, on every n-th pixel; at twice the size, only pixels near the border
// so found are decided anew, and so on up to the photo itself (Lombaert, Sun, Grady & Xu, ICCV 2005).

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "layers.h"

namespace weakseg {

struct CutSettings {
    int iterations;        // rounds of fitting colours and cutting
    std::size_t coarse_px; // pixels at most that the coarsest layer leaves to be decided
    int band;              // pixels of a layer, to each side of its border, that are decided anew at twice the size
};

// (height, width) of 0 and 1. Sure seeds stay. Seeds of one side only are returned as they are.
std::vector<std::uint8_t> cut_photo(const SeededPhoto& photo, const CutSettings& settings);

// The colours of background and object that the seeds show; there must be seeds of both.
std::array<Mixture, 2> fit_seeds(const SeededPhoto& photo);

} // namespace weakseg
