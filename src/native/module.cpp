// weakseg._native: what Python sees of the compiled part. The work is in the other files of this folder, one per algorithm;
// they know nothing of Python, and run with its lock released. Types for Python: src/weakseg/_native.pyi.

#include "bindings.h"

PYBIND11_MODULE(_native, module) {
    module.doc() = "Compiled refinement: see weakseg.refine.";
    bind_crf(module);
    bind_grabcut(module);
}
