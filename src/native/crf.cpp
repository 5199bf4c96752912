#include "crf.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "dispatch.h"

namespace weakseg {

namespace {

namespace baseline {
#include "mean_field.inc"
}

#ifdef WEAKSEG_AVX2
TARGET_BEGIN_AVX2
namespace avx2 {
#include "mean_field.inc"
}
TARGET_END
#endif

}  // namespace

bool infer(const Problem& problem, float* probs) {
#ifdef WEAKSEG_AVX2
    if (has_avx2()) return avx2::infer(problem, probs);
#endif
    return baseline::infer(problem, probs);
}

}  // namespace weakseg
