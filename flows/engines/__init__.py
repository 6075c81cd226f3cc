"""Engines: how the tasks of a build are spread over workers."""
