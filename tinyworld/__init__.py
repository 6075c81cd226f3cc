"""The miniature world, a place where the truth is known, and the small models that are trained in it.

- ``world``: draws scenes: a figure of known identity and pose before a known background, with its mask. Needs no torch.
- ``training``: how each model of the tiny profile is trained on such scenes, and how it is measured.
- ``judges``: tell colours and backgrounds of *generated* pictures from pixels alone, and so need no model to be right.
- ``train``, ``evaluate``: the commands ``python -m tinyworld.train`` (into ``pipeline/tiny/weights``) and
  ``python -m tinyworld.evaluate`` (measures what lies there on scenes that no training saw).
- ``make_banks``: writes the prompt banks of the tiny profile.

The two networks that no library has are in :mod:`pipeline.tiny`. Of ``pipeline``, this package uses the contract
(settings, names, seeds), ``imaging`` and ``models``; never its stages or its runner.
"""
