"""The miniature world: articulated figures drawn in code with known truth, and the training of the small models."""
