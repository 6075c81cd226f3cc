"""Baselines that are trained: other methods' ideas, rebuilt small, behind one interface."""
