"""Kitescope: visual similarity search with Milvus and FiftyOne, in the terminal."""

__version__ = "0.1.0"
