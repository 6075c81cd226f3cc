"""Checks a manifest."""
