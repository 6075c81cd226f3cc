"""The embedded default: a miniature world and the small models trained on it."""
