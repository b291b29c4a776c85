"""Rewards that measure meaning: one contract, a small algebra, leaves, an audit, and adapters to trainers.

The names are imported when they are first asked for, for the catalogue and `--help` must not wait for torch;
`__init__.pyi` lists them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
