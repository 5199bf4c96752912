"""The compiled part, `weakseg._native`; everything else about the package is in pyproject.toml."""

from pathlib import Path

from pybind11.setup_helpers import Pybind11Extension
from setuptools import setup

NATIVE = Path("src/native")

setup(
    ext_modules=[
        Pybind11Extension(
            "weakseg._native",
            sorted(map(str, NATIVE.glob("*.cpp"))),
            depends=sorted(map(str, [*NATIVE.glob("*.h"), *NATIVE.glob("*.inc")])),
            cxx_std=17,
            extra_compile_args=["-O3", "-Wno-psabi"],
            optional=True,  # without a compiler the package still installs, and refines more slowly
        )
    ]
)
