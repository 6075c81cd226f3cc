"""Judges of the miniature world: what a picture shows, read from its pixels alone."""
