"""A charge engine for radiation oncology: treatment events in, coded charges and their corrections out."""

__version__ = "0.1.0"
