"""A reward from a config: `{name: token_f1, reference: gold}`, or a YAML file that holds it under `reward:`.

A config is written by the user, like a script: `name: "package.module:thing"` imports what the user names. Nothing of
a data file ever comes here.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.config import nearest, read_yaml
from common.errors import DataError, MissingDependency, TouchstoneError, UsageError
from common.files import locate
from common.rewards.catalogue import CATALOGUE

if TYPE_CHECKING:
    from common.rewards.base import Reward

#: The field of a spec that gives the reward its own name in logs and parts; `name` is taken by the catalogue.
OWN_NAME = "as"
#: The entry that stands for a Python object, such as a function a reward takes: `{import: "package.module:thing"}`.
IMPORT = "import"
_FILE_KEYS = ("reward", "example")
_EXAMPLE_KEYS = ("columns", "values", "replies")


@dataclass(frozen=True)
class Example:
    """The example in a file.

    Attributes:
        columns: keyword columns.
        values: what each row scores; None where it cannot be scored.
        replies: what a judge says to questions that hold the key, for rewards that ask one; the first key that is
            found counts.
    """

    columns: Mapping[str, Any]
    values: tuple[float | None, ...]
    replies: Mapping[str, str] = field(default_factory=dict)


def build(spec: Mapping[str, Any]) -> Reward:
    """The reward that a spec describes.

    A spec is a mapping with `name`, of the catalogue or "package.module:thing" of the user's own, and fields, which
    are the arguments of the class (`python -m common.rewards describe NAME`). Any mapping with a `name` inside it is a
    spec too, so that compositions nest; a part of a `weighted_sum` has its `weight` beside its `name`. `as` is the
    reward's own name in logs. `{import: "package.module:thing"}` is that object, for fields that take a function.

    What the user names may be a subclass of `Reward`, whose arguments are the fields, or a function with trl's calling
    convention; the fields are then those of `common.rewards.foreign.ForeignReward`.

    Raises:
        UsageError: an unknown name or field (names the nearest known one), a field that is missing or that the class
            refuses; the message says where in the spec.
        MissingDependency: a package that the reward needs is not installed.
    """
    from common.rewards.base import Reward

    if "name" not in spec:
        raise UsageError("reward: it has no `name`; python -m common.rewards list shows those there are")
    made = _made(spec, "reward")
    if not isinstance(made, Reward):
        raise UsageError(f"reward: {spec.get('name')!r} is what rewards are made with, and no reward itself")
    return made


def read(path: Path | str) -> Reward:
    """The reward of a YAML file that holds a `reward:` block; see `build`.

    Raises:
        DataError: the file cannot be read, or has no `reward:` block.
        UsageError: see `build`; the message names the file.
    """
    try:
        return build(read_block(path, "reward"))
    except (DataError, MissingDependency):
        raise
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def read_example(path: Path | str) -> Example:
    """The `example:` block of a file: `columns:`, the `values:` they score, and `replies:` of a judge.

    Raises:
        DataError: the file cannot be read, or has no such block.
    """
    block = read_block(path, "example")
    _refuse_unknown(block, _EXAMPLE_KEYS, f"{path}: example", "key")
    columns, values = block.get("columns"), block.get("values")
    if not isinstance(columns, Mapping) or not isinstance(values, list):
        raise DataError("example: needs `columns:`, a mapping of lists, and `values:`, a list", path=path)
    return Example(columns, tuple(values), block.get("replies") or {})


def read_block(path: Path | str, key: str) -> Mapping[str, Any]:
    """A top-level block of a YAML file.

    Raises:
        DataError: the file cannot be read, or has no such block.
        UsageError: it has another one that is not known.
    """
    path = locate(path)
    content = read_yaml(path)
    if not isinstance(content, Mapping):
        raise DataError(f"holds {type(content).__name__}, not `reward:` with a name and fields", path=path)
    _refuse_unknown(content, _FILE_KEYS, str(path), "key")
    if not isinstance(content.get(key), Mapping):
        raise DataError(f"has no block `{key}:`", path=path)
    block: Mapping[str, Any] = content[key]
    return block


def _made(spec: Mapping[str, Any], where: str) -> Any:
    name = spec["name"]
    if not isinstance(name, str):
        raise UsageError(f"{where}: a reward's `name` is a text, not {name!r}")
    make, given = _maker(name, where)
    if name == "weighted_sum" and isinstance(spec.get("parts"), Mapping):
        spec = {**spec, "parts": {one: _weighted(part, f"{where}.{one}") for one, part in spec["parts"].items()}}
    fields = {key: value for key, value in spec.items() if key not in ("name", OWN_NAME)}
    known = {key: needed for key, needed in _parameters(make).items() if key not in given}
    _refuse_unknown(fields, [key for key in known if key != "name"], f"{where} ({name})", "field")
    fields = {key: _value(value, f"{where}.{key}") for key, value in fields.items()}
    if OWN_NAME in spec:
        if "name" not in known:
            raise UsageError(f"{where} ({name}): it has no name of its own, so `{OWN_NAME}` says nothing")
        fields["name"] = spec[OWN_NAME]
    for key, needed in known.items():
        if needed and key not in fields:
            raise UsageError(f"{where} ({name}): the field {OWN_NAME if key == 'name' else key!r} is missing")
    try:
        return make(**given, **fields)
    except (DataError, MissingDependency):
        raise
    except TouchstoneError as error:
        raise UsageError(f"{where}: {error}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{where} ({name}): a field has a value that it cannot use: {error}") from error


def _weighted(part: Any, where: str) -> list[Any]:
    """A part of a weighted sum as reward and weight."""
    if not isinstance(part, Mapping) or "name" not in part:
        raise UsageError(f"{where}: a part of a weighted_sum is a reward with its `weight` beside its `name`")
    weight = part.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, (int, float)):
        raise UsageError(f"{where}: the weight is a number, not {weight!r}")
    return [{key: value for key, value in part.items() if key != "weight"}, weight]


def _maker(name: str, where: str) -> tuple[Any, dict[str, Any]]:
    """What makes the thing of a name, and arguments that it must be given."""
    if ":" not in name:
        if name not in CATALOGUE:
            hint = nearest(name, list(CATALOGUE))
            raise UsageError(f"{where}: there is no reward {name!r}{hint}; one of your own is package.module:thing")
        entry = CATALOGUE[name]
        return imported(f"{entry.module}:{entry.attribute}", where), {}
    from common.rewards.base import Reward
    from common.rewards.foreign import ForeignReward

    thing = imported(name, where)
    if isinstance(thing, type) and issubclass(thing, Reward):
        return thing, {}
    return ForeignReward, {"path": name}


def _parameters(make: Any) -> dict[str, bool]:
    """Arguments by name, and whether each must be given; those of base classes that `**settings` are handed on to."""
    if not isinstance(make, type):
        return _of_signature(make)[0]
    found: dict[str, bool] = {}
    for kind in make.__mro__:
        if kind is not object and "__init__" in vars(kind):
            own, handed_on = _of_signature(vars(kind)["__init__"])
            own.pop("self", None)
            found = own | found
            if not handed_on:
                break
    return found


def _of_signature(function: Any) -> tuple[dict[str, bool], bool]:
    parameters = inspect.signature(function).parameters.values()
    named = [one for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    handed_on = any(one.kind is one.VAR_KEYWORD for one in parameters)
    return {one.name: one.default is one.empty for one in named}, handed_on


def imported(path: str, where: str) -> Any:
    """What "package.module:thing" names.

    Raises:
        UsageError: there is no such module, or no such thing in it.
        MissingDependency: the module is ours and needs a package that is not installed.
    """
    module, _, attribute = path.partition(":")
    try:
        thing = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if module.startswith("common.") and not (error.name or "common").startswith("common"):
            raise MissingDependency(error.name or module, "all") from error
        raise UsageError(f"{where}: cannot import {path!r}: {error}") from error
    except ValueError as error:
        raise UsageError(f"{where}: {path!r} is no package.module:thing") from error
    for part in attribute.split("."):
        if not hasattr(thing, part):
            raise UsageError(f"{where}: {module} has no {attribute!r}{nearest(attribute, dir(thing))}")
        thing = getattr(thing, part)
    return thing


def _value(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        if "name" in value:
            return _made(value, where)
        if set(value) == {IMPORT}:
            return imported(str(value[IMPORT]), where)
        return {key: _value(one, f"{where}.{key}") for key, one in value.items()}
    if isinstance(value, list):
        return tuple(_value(one, f"{where}[{at}]") for at, one in enumerate(value))
    return value


def _refuse_unknown(given: Mapping[str, Any], known: Any, where: str, what: str) -> None:
    for key in given:
        if key not in known:
            raise UsageError(f"{where}: unknown {what} {key!r}{nearest(str(key), list(known))}")
