"""Rewards of episodes longer than a batch: what they remember, how they spread a return over its steps.

The names are imported when they are first asked for; `__init__.pyi` lists them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
