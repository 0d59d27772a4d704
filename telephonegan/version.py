"""The version, in a separate file because the package root imports modules that need it."""

__version__ = "0.1.0"
