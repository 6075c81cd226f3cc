"""The commands and their options. What they do is in the modules that they import when they are called."""
