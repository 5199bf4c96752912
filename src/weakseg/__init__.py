"""weakseg: image classifiers as a segmentation service."""

__version__ = "0.1.0"
