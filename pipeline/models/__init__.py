"""The models: one loader per family, each model loaded once per process and kept.

Nothing heavy is imported here or at the top of the loaders: a command that needs no model must not pay for torch.
"""
