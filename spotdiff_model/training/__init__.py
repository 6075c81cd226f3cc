"""What the training loop (:mod:`spotdiff_model.trainer`) stands on: set-up, checkpoints, LoRA, display, last steps."""
