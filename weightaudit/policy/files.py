"""Finds and reads policy files, with those that they extend."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from weightaudit.errors import PolicyError
from weightaudit.policy.lines import lines_of
from weightaudit.policy.model import Policy
from weightaudit.policy.parsing import parse_policy
from weightaudit.policy.values import did_you_mean, string_or_strings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from weightaudit.policy.lines import Place

FILE_NAME = "weightaudit.toml"

PROJECT = "pyproject.toml"


@dataclass(frozen=True, slots=True)
class Layer:
    """One file of a policy.

    Attributes:
        path: The file.
        source: Its name in messages: a relative path, or ``preset NAME``.
        table: What it says, as parsed.
        lines: On which lines it says it.
    """

    path: Path
    source: str
    table: Mapping[str, Any]
    lines: Mapping[Place, int]

    def place(self, *keys: str) -> str | None:
        """Return file and line of a key, None if it is not in the file; the line only if it is known."""
        wanted = tuple(key.replace("-", "_") for key in keys)
        if wanted in self.lines:
            return f"{self.source}:{self.lines[wanted]}"
        value: object = self.table
        for key in wanted:
            tables = cast("dict[str, object]", value) if isinstance(value, dict) else {}
            value = {name.replace("-", "_"): one for name, one in tables.items()}.get(key)
        return None if value is None else self.source


def find_policy(start: Path) -> Policy:
    """Return the policy that holds in a directory, or the default one where there is none.

    Raises:
        PolicyError: A file on the way cannot be read, or says something that is not understood.
    """
    path = locate_policy(start)
    return Policy() if path is None else read_policy(path)


def locate_policy(start: Path) -> Path | None:
    """Return the file of the policy that holds in a directory, None where there is none.

    The nearest directory upward counts that has a `weightaudit.toml`, or a `pyproject.toml`
    with a table `[tool.weightaudit]`; the former wins where both lie side by side.

    Raises:
        PolicyError: A `pyproject.toml` on the way cannot be read, or has something else of that name.
    """
    for directory in (start.absolute(), *start.absolute().parents):
        own, project = directory / FILE_NAME, directory / PROJECT
        # A link that leads nowhere is refused by whoever reads it: a policy was meant.
        if own.is_file() or own.is_symlink():
            return own
        if project.is_file() and _has_table(project):
            return project
    return None


def _has_table(project: Path) -> bool:
    source = os.path.relpath(project)
    return _project_table(_parse(_read(project, source), source), source) is not None


def read_policy(path: Path) -> Policy:
    """Read a policy file and what it extends; of a `pyproject.toml`, its table `[tool.weightaudit]`.

    Raises:
        PolicyError: A file cannot be read, or says something that is not understood.
    """
    return joined(read_layers(path))


def read_layers(path: Path) -> tuple[Layer, ...]:
    """Return a policy file with all files that it extends, each once: the most basic first, itself last.

    Raises:
        PolicyError: A file cannot be read, or one extends itself.
    """
    found: dict[str, Layer] = {}
    _collect(path, os.path.relpath(path), found, ())
    return tuple(found.values())


def joined(layers: Sequence[Layer]) -> Policy:
    """Return what several files say together; `docs/policy.md` has which of them wins where.

    Args:
        layers: At least one, the most basic first.

    Raises:
        PolicyError: One of them says something that is not understood.
    """
    parts = [parse_policy(layer.table, layer.source, layer.lines) for layer in layers]

    def last(*keys: str) -> Policy:
        """Return the last part that says something about a key, else one that says nothing."""
        said = (one for one, layer in zip(parts, layers, strict=True) if layer.table.keys() & keys)
        return next(reversed([*said]), Policy())

    return replace(
        parts[-1],
        select=last("select").select,
        fail_on=last("fail-on", "fail_on").fail_on,
        ignore=tuple(dict.fromkeys(code for one in parts for code in one.ignore)),
        plugins=tuple(dict.fromkeys(name for one in parts for name in one.plugins)),
        overrides=tuple(override for one in parts for override in one.overrides),
        repairs=tuple(repair for one in parts for repair in one.repairs),
        suppressions=tuple(suppression for one in parts for suppression in one.suppressions),
        inherited=tuple(parts[:-1]),
    )


def _collect(path: Path, source: str, found: dict[str, Layer], above: tuple[str, ...]) -> None:
    """Add a file to those found, after the files that it extends.

    Args:
        path: The file.
        source: Its name in messages.
        found: Files by their real path.
        above: Real paths of the files that led here.
    """
    place = os.path.realpath(path)
    if place in above:
        chain = " extends ".join(os.path.relpath(one) for one in (*above[above.index(place) :], place))
        raise PolicyError(f"{source} extends itself ({chain}); take one of these out of `extends`.")
    if place in found:
        return
    text = _read(path, source)
    table = _table_of(_parse(text, source), path, source)
    for base, name in _extended(table, path, source):
        _collect(base, name, found, (*above, place))
    root = ("tool", "weightaudit") if path.name == PROJECT else ()
    found[place] = Layer(path, source, table, lines_of(text, root))


def _extended(table: Mapping[str, Any], path: Path, source: str) -> list[tuple[Path, str]]:
    """Return the files that a policy extends, in order, each with its name in messages."""
    from weightaudit.presets import preset_names, preset_path

    files: list[tuple[Path, str]] = []
    for name in string_or_strings(table, "extends", f"{source}: "):
        if name in preset_names():
            files.append((preset_path(name), f"preset {name}"))
        elif name.endswith(".toml"):
            file = path.parent / name
            files.append((file, os.path.relpath(file)))
        else:
            hint = did_you_mean(name, preset_names()) or f"; there are {', '.join(preset_names())}"
            raise PolicyError(
                f"{source}: extends: {name!r} is neither a preset{hint} nor the path of a .toml file."
            )
    return files


def _table_of(document: dict[str, Any], path: Path, source: str) -> dict[str, Any]:
    own = _project_table(document, source)
    if path.name != PROJECT:
        if own is not None:
            raise PolicyError(
                f"{source}: only pyproject.toml has a table [tool.weightaudit]; leave the header out."
            )
        return document
    if own is None:
        raise PolicyError(f"{source} has no table [tool.weightaudit].")
    return own


def _read(path: Path, source: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise PolicyError(f"The policy {source} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise PolicyError(f"{source} is not UTF-8 text, which TOML has to be.") from error


def _parse(text: str, source: str) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{source} is not valid TOML: {error}.") from error
    except ValueError as error:
        raise PolicyError(f"{source} has an integer of thousands of digits; TOML has 64 bits.") from error
    except RecursionError as error:
        raise PolicyError(f"{source} is nested too deeply.") from error


def _project_table(document: Mapping[str, Any], source: str) -> dict[str, Any] | None:
    tool = document.get("tool")
    own = cast("dict[str, Any]", tool).get("weightaudit") if isinstance(tool, dict) else None
    if own is None or isinstance(own, dict):
        return cast("dict[str, Any] | None", own)
    raise PolicyError(f"{source}: tool.weightaudit must be a table, written [tool.weightaudit] once.")
