"""The HTTP front: what callers talk to. TorchServe, behind it, runs the models."""
