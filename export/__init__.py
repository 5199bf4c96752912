"""From a classifier to an archive that TorchServe and the command line serve: ``python -m export --help``."""
