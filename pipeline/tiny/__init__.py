"""The embedded profile's two networks that no library has, and the weights of all its models."""
