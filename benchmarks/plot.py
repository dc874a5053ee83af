"""Pictures of measured numbers: ``python -m benchmarks.plot RESULTS.json FOLDER``.

Text and lines are of a middle grey, bars of middle colours, and there is no background, so that both
pictures can be read on white and on black.
"""

from __future__ import annotations

import argparse
import json
from html import escape
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

INK, AUDIT, OTHER, GOAL = "#7a7f87", "#2f81c7", "#c2701c", "#c8423b"

STYLE: dict[str, Any] = {
    "svg.fonttype": "none",  # Text stays text.
    "svg.hashsalt": "weightaudit",  # The same numbers give the same file.
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}


def draw_speed(results: dict[str, Any]) -> str:
    """Return an SVG of audits beside reading, and of checks beside the usual ways."""
    bars = [goal for goal in results["goals"] if goal["group"] == "reading"]
    usual, others = results["usual"], [one for one in results["others"] if not one["failure"]]
    rows = [(f"{one['label']}, {one['megabytes']:.0f} MB", one["ratio"]) for one in usual]
    rows += [(one["tool"], one["wall"] / one["check"]) for one in others]
    figure, axes = _figure(
        2, height=2.2 + 0.3 * (len(bars) + len(rows)), ratios=(len(bars) + 1, len(rows) + 1)
    )
    _bound_bars(axes[0], bars)
    _ratio_bars(axes[1], rows)
    told = [f"{bar['label']}: {bar['measured']:.2f} (goal {bar['limit']:g})" for bar in bars]
    told += [f"{label}: {ratio:.1f} times as long as weightaudit check" for label, ratio in rows]
    return _svg(figure, "How long an audit takes", "; ".join(told))


def draw_memory(results: dict[str, Any]) -> str:
    """Return an SVG of peak memory against the size of models."""
    figure, (axis,) = _figure(1, height=3.6, ratios=(1,))
    told: list[str] = []
    for label in dict.fromkeys(peak["label"] for peak in results["peaks"]):
        points = sorted((p["megabytes"], p["peak"] / 1e6) for p in results["peaks"] if p["label"] == label)
        axis.plot(*zip(*points, strict=True), "o-", color=AUDIT, alpha=0.7, markersize=5)
        told += [f"{label}, {size:.0f} MB: {peak:.0f} MB" for size, peak in points]
    axis.plot([], [], "o-", color=AUDIT, label="weightaudit check, each format")
    for number, one in enumerate(results["usual"]):
        label = "loading with Keras or TensorFlow, and numpy" if number == 0 else None
        axis.plot(one["megabytes"], one["peak"] / 1e6, "s", color=OTHER, markersize=6, label=label)
        told.append(f"{one['label']}, {one['megabytes']:.0f} MB, the usual way: {one['peak'] / 1e6:.0f} MB")
    axis.axhline(200, color=GOAL, linestyle="--", linewidth=1, label="goal: 200 MB")
    axis.set(xscale="log", yscale="log", xlabel="MB of tensors", ylabel="MB of peak memory")
    axis.set_ylim(10, 20_000)
    sizes = sorted({round(peak["megabytes"]) for peak in results["peaks"]})
    axis.set_xticks(sizes, [str(size) for size in sizes])
    axis.yaxis.set_major_formatter("{x:g}")
    for side in (axis.xaxis, axis.yaxis):
        side.set_minor_formatter("")
    axis.legend(loc="upper right")
    axis.set_title("Peak memory of the whole process", loc="left")
    return _svg(figure, "Peak memory against the size of a model", "; ".join(told))


def _bound_bars(axis: Any, bars: list[dict[str, Any]]) -> None:
    places = range(len(bars))
    values = [bar["measured"] for bar in bars]
    axis.barh(places, values, color=AUDIT, height=0.65)
    for place, bar in zip(places, bars, strict=True):
        axis.plot([bar["limit"]] * 2, [place - 0.42, place + 0.42], color=GOAL, linewidth=2)
        axis.annotate(f" {bar['measured']:.2f}", (max(bar["measured"], bar["limit"]), place), va="center")
    axis.axvline(1, color=INK, linewidth=1, linestyle=":")
    axis.set_yticks(places, [_plain(bar["label"]) for bar in bars])
    axis.invert_yaxis()
    axis.margins(x=0.1)
    axis.set_title("Audit: times as long as reading the bytes", loc="left")
    axis.set_xlabel("of packed formats: as inflating them; dotted: 1, red: the goal")


def _ratio_bars(axis: Any, rows: list[tuple[str, float]]) -> None:
    places = range(len(rows))
    axis.barh(places, [ratio for _, ratio in rows], color=OTHER, height=0.65)
    for place, (_, ratio) in zip(places, rows, strict=True):
        axis.annotate(f" {ratio:.1f}", (ratio, place), va="center")
    axis.axvline(1, color=INK, linewidth=1, linestyle=":")
    axis.set_yticks(places, [_plain(label) for label, _ in rows])
    axis.invert_yaxis()
    axis.margins(x=0.1)
    axis.set_title("Others: times as long as weightaudit check", loc="left")
    axis.set_xlabel("whole processes; formats: loaded, and looked at with numpy")


def _figure(count: int, height: float, ratios: tuple[int, ...]) -> tuple[Any, Any]:
    matplotlib: Any = import_module("matplotlib")
    matplotlib.use("svg")
    matplotlib.rcParams.update(STYLE)
    pyplot: Any = import_module("matplotlib.pyplot")
    figure, axes = pyplot.subplots(
        count, figsize=(8, height), squeeze=False, layout="constrained", height_ratios=ratios
    )
    return figure, axes[:, 0]


def _svg(figure: Any, title: str, description: str) -> str:
    """Return the figure with a title and a description that screen readers read out."""
    target = StringIO()
    figure.savefig(target, format="svg", transparent=True, metadata={"Date": None})
    before, mark, after = target.getvalue().partition("<svg ")
    attributes, end, rest = after.partition(">")
    told = f"<title>{escape(title)}</title><desc>{escape(_plain(description))}</desc>"
    text = f'{before}{mark}role="img" {attributes}{end}\n {told}{rest}'
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def _plain(label: str) -> str:
    return label.replace("`", "")


def main() -> None:
    """Draw both pictures of a file of results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plot", description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    results = json.loads(options.results.read_text(encoding="utf-8"))
    (options.folder / "speed.svg").write_text(draw_speed(results), encoding="utf-8")
    (options.folder / "memory.svg").write_text(draw_memory(results), encoding="utf-8")


if __name__ == "__main__":
    main()
