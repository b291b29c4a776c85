"""A stand-in for the module `carla` and a server behind it, for tests and for trying things out without a server.

It has the part of the client's interface that the CARLA backend uses, by the same names and with the same refusals.
Cars move as simple bicycles or along lanes; what goes wrong is scripted with `FakeServer.soon`. It is no simulator to
measure anything on.
"""

from apps.driving.backends.fake_carla.module import FakeCarla
from apps.driving.backends.fake_carla.script import Collision, Crash, DoubleTick, Extra, Hang, Lag, Removed, TimeOut
from apps.driving.backends.fake_carla.server import FakeServer

__all__ = ["Collision", "Crash", "DoubleTick", "Extra", "FakeCarla", "FakeServer", "Hang", "Lag", "Removed", "TimeOut"]
