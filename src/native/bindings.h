#pragma once

#include <pybind11/pybind11.h>

void bind_crf(pybind11::module_& module);
void bind_grabcut(pybind11::module_& module);
