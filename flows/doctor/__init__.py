"""Looks at a machine before a build does: one finding a line, each with its remedy. Imports nothing heavy."""
