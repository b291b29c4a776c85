"""Rewards that change what another reward says: its scale, its place in a group, what it remembers.

The names are imported when they are first asked for; `__init__.pyi` lists them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
