"""The compiled part (src/native); not there where no compiler was."""
