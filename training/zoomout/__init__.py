"""Zoom-out features with guided backprop: superpixels, a linear SVM with multiple-instance learning, image labels only."""
