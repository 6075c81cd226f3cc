"""How the shipped weights of the tiny profile are made. See ``python -m tinyworld.train --help``."""
