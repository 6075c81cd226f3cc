"""Pictures made by an encoder: what is asked for, how they are made, what they are measured by."""
