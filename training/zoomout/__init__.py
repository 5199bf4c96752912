"""Zoom-out features with guided backprop: superpixels and a multiple-instance SVM, from image labels only."""
