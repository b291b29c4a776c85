"""Rewards that ask a model: one verdict, a rubric, a whole group at once, a drawing, yes or no.

The names are imported when they are first asked for; `__init__.pyi` lists them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
