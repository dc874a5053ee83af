"""Makes the tensors that the examples of a policy describe."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from weightaudit.errors import PolicyError
from weightaudit.policy.values import describe_type, did_you_mean, normalized, parse_role, text
from weightaudit.tensor import Role, TensorInfo
from weightaudit.testing import tensor_info

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

LARGEST = 1 << 24
"""Elements that an example may have: an audit of it then takes a second or so."""

_MOST_AXES = 32
"""Axes that an example may have: numpy before 2.0 has no more."""

DTYPES = ("float16", "float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64")
"""Storage types of examples: those that numpy has by itself."""

_DESCRIBING = ("name", "role", "layer_class", "dtype", "shape", "trainable", "fan_in", "fan_out")
_FILLING = ("values", "fill", "normal", "uniform")
_CHANGING = ("zeros", "put", "seed")


def made(written: Mapping[str, Any], where: str) -> tuple[TensorInfo, NDArray[Any]]:
    """Return the tensor that an example describes, and its values.

    Args:
        written: The table: what the tensor is (`name`, `role`, ...), one of `values`, `fill`, `normal`
            and `uniform`, and `zeros` and `put`, which change some elements.
        where: Beginning of every message: file and table.

    Raises:
        PolicyError: It describes no tensor.
    """
    values = normalized(written, where, (*_DESCRIBING, *_FILLING, *_CHANGING))
    filled = _filled(values, where)
    _thin(filled, values, where)
    _put(filled, values.get("put", []), f"{where}.put")
    dtype = text(values.get("dtype", "float32"), f"{where}.dtype")
    array = _cast(filled, dtype, where)
    return tensor_info(array, dtype=dtype, **_description(values, where)), array


def _description(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    role = parse_role(text(values.get("role", "kernel"), f"{where}.role"), f"{where}.role")
    layer_class = text(values.get("layer_class", _usual_class(role)), f"{where}.layer-class")
    described: dict[str, Any] = {"role": role, "layer_class": layer_class}
    if "name" in values:
        name = text(values["name"], f"{where}.name")
        described |= {"name": name, "key": name, "layer": name.rpartition("/")[0]}
    for key in ("fan_in", "fan_out"):
        if key in values:
            described[key] = _whole(values[key], f"{where}.{key.replace('_', '-')}")
    if "trainable" in values:
        if not isinstance(values["trainable"], bool):
            raise PolicyError(
                f"{where}.trainable must be true or false, not {describe_type(values['trainable'])}."
            )
        described["trainable"] = values["trainable"]
    return described


def _usual_class(role: Role) -> str:
    """Return a layer that has such a tensor, where the example names none."""
    if role in {Role.NORM_SCALE, Role.NORM_OFFSET, Role.MOVING_MEAN, Role.MOVING_VARIANCE}:
        return "BatchNormalization"
    return {Role.EMBEDDING: "Embedding", Role.RECURRENT_KERNEL: "LSTM"}.get(role, "Dense")


def _filled(values: Mapping[str, Any], where: str) -> NDArray[np.float64]:
    ways = [key for key in _FILLING if key in values]
    if len(ways) != 1:
        raise PolicyError(f"{where} must have exactly one of {', '.join(_FILLING)}.")
    if ways == ["values"]:
        return _listed(values["values"], values.get("shape"), where)
    shape = _shape(values.get("shape"), where)
    seed = _whole(values.get("seed", 0), f"{where}.seed")
    if seed < 0:
        raise PolicyError(f"{where}.seed must be 0 or more, not {seed}.")
    random = np.random.default_rng(seed)
    if ways == ["fill"]:
        return np.full(shape, _number(values["fill"], f"{where}.fill"))
    if ways == ["normal"]:
        std = _number(values["normal"], f"{where}.normal")
        if not 0 <= std < np.inf:
            raise PolicyError(
                f"{where}.normal is a standard deviation, so it must be 0 or more, not {std:g}."
            )
        return random.normal(0.0, std, shape)
    low, high = _pair(values["uniform"], f"{where}.uniform")
    return random.uniform(low, high, shape)


def _listed(listed: object, shape: object, where: str) -> NDArray[np.float64]:
    try:
        array = np.array(listed, np.float64)
    except (ValueError, TypeError, OverflowError):
        raise PolicyError(f"{where}.values must be numbers, in lists of equal length.") from None
    if array.size > LARGEST or not array.size:
        raise PolicyError(f"{where}.values has {array.size} numbers; give 1 to {LARGEST}.")
    if shape is None:
        return array
    wanted = _shape(shape, where)
    if prod(wanted) != array.size:
        raise PolicyError(f"{where}.shape has {prod(wanted)} elements, and values has {array.size}.")
    return array.reshape(wanted)


def _thin(array: NDArray[np.float64], values: Mapping[str, Any], where: str) -> None:
    """Set a share of the elements to zero, spread evenly."""
    share = _number(values.get("zeros", 0.0), f"{where}.zeros")
    if not 0 <= share <= 1:
        raise PolicyError(f"{where}.zeros is a share, so it must lie between 0 and 1, not {share:g}.")
    order = np.random.default_rng(1).permutation(array.size)
    array.flat[order[: round(share * array.size)]] = 0.0


def _put(array: NDArray[np.float64], changes: object, where: str) -> None:
    """Set single elements; an index counts the elements row by row, or is a list with one for each axis."""
    if not isinstance(changes, list):
        raise PolicyError(f"{where} must be a list of tables such as {{at = 0, value = nan}}.")
    for index, change in enumerate(cast("list[object]", changes)):
        place = f"{where}[{index}]"
        if not isinstance(change, dict):
            raise PolicyError(f"{place} must be a table such as {{at = 0, value = nan}}.")
        one = normalized(cast("dict[str, Any]", change), place, ("at", "value"))
        if one.keys() != {"at", "value"}:
            raise PolicyError(f"{place} must say at which index, and which value.")
        at = cast("object", one["at"])
        axes = cast("list[object]", at) if isinstance(at, list) else [at]
        indices = tuple(_whole(axis, f"{place}.at") for axis in axes)
        number = _number(one["value"], f"{place}.value")
        try:
            if isinstance(at, list):
                array[indices] = number
            else:
                array.flat[indices[0]] = number
        except (IndexError, OverflowError):
            raise PolicyError(f"{place}.at is outside of the shape {list(array.shape)}.") from None


def _cast(array: NDArray[np.float64], dtype: str, where: str) -> NDArray[Any]:
    if dtype not in DTYPES:
        raise PolicyError(
            f"{where}.dtype must be one of {', '.join(DTYPES)}, not {dtype!r}{did_you_mean(dtype, DTYPES)}."
        )
    # Infinity in float16, and what an integer type makes of NaN, are what the author asked for.
    with np.errstate(all="ignore"):
        return array.astype(dtype)


def _shape(shape: object, where: str) -> tuple[int, ...]:
    if not isinstance(shape, list):
        raise PolicyError(f"{where} needs a shape, a list of integers such as [64, 32].")
    axes = tuple(_whole(axis, f"{where}.shape") for axis in cast("list[object]", shape))
    if len(axes) > _MOST_AXES:
        raise PolicyError(f"{where}.shape has {len(axes)} axes; give {_MOST_AXES} at most.")
    if any(axis < 1 for axis in axes) or prod(axes) > LARGEST:
        raise PolicyError(f"{where}.shape must have 1 to {LARGEST} elements.")
    return axes


def _pair(value: object, where: str) -> tuple[float, float]:
    items = cast("list[object]", value) if isinstance(value, list) else []
    if len(items) != 2:
        raise PolicyError(f"{where} must be a list of two numbers, the least and the greatest value.")
    low, high = (_number(item, where) for item in items)
    if not (np.isfinite([low, high]).all() and low <= high):
        raise PolicyError(f"{where} must be two finite numbers, the smaller one first.")
    return low, high


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PolicyError(f"{where} must be a number, not {describe_type(value)}.")
    try:
        return float(value)
    except OverflowError:
        raise PolicyError(f"{where} is an integer beyond every float.") from None


def _whole(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise PolicyError(f"{where} must be an integer, not {describe_type(value)}.")
    return value
