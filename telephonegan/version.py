"""The version, in a file of its own: the root of the package names what stands on it."""

__version__ = "0.1.0"
