"""Filling an index: what is missing, where it comes from, and how it gets in exactly once."""
