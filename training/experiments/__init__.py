"""Several trainings whose results belong into one table: ``python -m training.experiments --help``."""
