"""Makes the pages of the site that say what the code says: commands with real output, rules, the API.

Run by mkdocs (`.mkdocs.yml`); nothing that it makes is kept in the repository.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import mkdocs_gen_files

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "rules"), str(ROOT / "docs")]

from links import HOMES, relinked  # noqa: E402 - a bare checkout is importable only now

import weightaudit  # noqa: E402
from weightaudit.cli import COMMANDS  # noqa: E402
from weightaudit.documentation import documentation  # noqa: E402
from weightaudit.options import options_of, toml_key  # noqa: E402
from weightaudit.plugins import load_rules  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.rule import Rule

EXAMPLES = {
    "check": ("check healthy.keras", "check nan.keras", "check --quiet nan.keras overflow.keras"),
    "init": ("init healthy.keras",),
    "rules": ("rules",),
    "explain": ("explain WA101", "explain max_norm"),
    "inspect": ("inspect healthy.keras", "inspect --tree healthy.keras"),
    "diff": ("diff healthy.keras nan.keras",),
    "repair": ("repair overflow.keras --dry-run",),
    "commit": ("commit healthy.keras -m 'as trained'",),
    "versions": ("versions list", "versions verify"),
    "cache": ("cache show",),
    "baseline": ("baseline write nan.keras", "check nan.keras --baseline weightaudit-baseline.json"),
    "config": ("config show",),
    "policy": (),
}
"""What is run on the models under fixtures/, in this order, and shown with what it printed."""


_LEAD = re.compile(r"^(?!Attributes)([A-Z][\w ,-]{2,40}:)(?= )", re.MULTILINE)
"""How a paragraph of a rule's docstring begins that has a title."""


def write(path: str, text: str) -> None:
    """Add a page to the site."""
    with mkdocs_gen_files.open(path, "w") as page:
        page.write(text)


def copied() -> None:
    """Pages that are files elsewhere in the repository."""
    for source, page in HOMES.items():
        if source.endswith(".svg"):
            with mkdocs_gen_files.open(page, "wb") as image:
                image.write((ROOT / source).read_bytes())
        elif page != "rules/index.md":
            write(page, relinked((ROOT / source).read_text("utf-8"), source, page))


def rules() -> None:
    """One page per rule, and the index with links to them."""
    index = relinked((ROOT / "rules/README.md").read_text("utf-8"), "rules/README.md", "rules/index.md")
    known = [
        one for one in load_rules(("weightaudit_rules",)) if one.__module__.startswith("weightaudit_rules.")
    ]
    for rule in known:
        index = re.sub(rf"\b{rule.code}\b", f"[{rule.code}]({rule.code}.md)", index, count=1)
        write(f"rules/{rule.code}.md", "\n\n".join(_rule(rule)) + "\n")
    write("rules/index.md", index)


def _rule(rule: type[Rule]) -> Iterator[str]:
    text, described = documentation(rule)
    yield f"# {rule.code} {rule.name}"
    active = "judges by default" if rule().is_active() else "judges once a policy gives it options"
    yield f"Severity: {rule.severity.label}; {active}."
    yield _LEAD.sub(r"**\1**", text)
    options = options_of(rule)
    if options:
        rows = [
            f"| `{toml_key(one.name)}` | {_cell(one.type_name)} | `{one.default!r}` "
            f"| {_cell(described.get(one.name, ''))} |"
            for one in options
        ]
        head = ["| Option | Type | Default | |", "|---|---|---|---|"]
        yield "\n".join([f"## Options, under `[rules.{rule.code}]`", "", *head, *rows])
    if rule.examples:
        shown = [
            f"- {one.title}: {'nothing' if one.severity is None else one.severity.label}"
            for one in rule.examples
        ]
        yield "\n".join(["## Examples, each a test of the rule", "", *shown])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def commands() -> None:
    """One page per command: its help, and runs on real models with what they printed."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for model in (ROOT / "fixtures/models").iterdir():
            copy = shutil.copytree if model.is_dir() else shutil.copy
            copy(model, place / model.name)
        lines = []
        for command in COMMANDS:
            write(f"commands/{command}.md", "\n\n".join(_command(command, place)) + "\n")
            lines.append(f"- [`weightaudit {command}`]({command}.md)")
        text = f"# Commands\n\n{chr(10).join(lines)}\n\n{_console('--help', place)}\n"
        write("commands/index.md", text)


def _command(command: str, place: Path) -> Iterator[str]:
    yield f"# weightaudit {command}"
    listed = _run(f"{command} --help", place)
    yield _fenced(f"{command} --help", listed)
    _, found, below = listed.partition("\nCommands:\n")
    for name in re.findall(r"^  (\w+)", below, re.MULTILINE) if found else ():
        yield f"## {command} {name}"
        yield _console(f"{command} {name} --help", place)
    examples = EXAMPLES[command]
    if examples:
        yield "## On real models"
        yield "Run when this site was built, on the small models of the repository."
    for example in examples:
        yield _console(example, place)


def _console(line: str, place: Path) -> str:
    return _fenced(line, _run(line, place))


def _fenced(line: str, printed: str) -> str:
    return f"````console\n$ weightaudit {line}\n{printed.rstrip()}\n````"


def _run(line: str, place: Path) -> str:
    """Return what a command printed, and its exit code where that is not 0."""
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "rules"), os.environ.get("PYTHONPATH", "")]),
        "XDG_CACHE_HOME": str(place / "cache"),
        "COLUMNS": "100",
    }
    done = subprocess.run(  # noqa: S602 - lines of this file, quoted as a shell reads them
        f'"{sys.executable}" -m weightaudit {line}',
        shell=True,
        cwd=place,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if "Traceback" in done.stderr or "should not have happened" in done.stderr:
        sys.exit(f"weightaudit {line}: {done.stderr}")
    return done.stdout + done.stderr + (f"[exit {done.returncode}]" if done.returncode else "")


def api() -> None:
    """The library's public names, from their docstrings."""
    parts = ["# Python", "Everything that `import weightaudit` gives, and nothing else, is kept stable."]
    parts += [f"::: weightaudit.{name}" for name in weightaudit.__all__]
    write("api.md", "\n\n".join(parts) + "\n")


copied()
rules()
commands()
api()
