"""`weightaudit init`: write a policy whose bounds are learned from good models."""

# No `from __future__ import annotations` here: Typer reads the annotations when the program starts.

import os
import sys
from typing import Annotated

import typer

from weightaudit.errors import UsageError

Good = Annotated[
    list[str],
    typer.Argument(metavar="GOOD...", help="Good models: files, checkpoint prefixes, directories, globs."),
]
Output = Annotated[
    str,
    typer.Option("--output", "-o", metavar="FILE", help="Policy to write; - for stdout.", show_default=True),
]
SlackOption = Annotated[
    float,
    typer.Option(
        "--slack", metavar="SHARE", help="Share by which bounds are wider than measured.", show_default=True
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a policy that is there.")]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="Never show a progress bar.")]


def init(
    good: Good,
    *,
    output: Output = "weightaudit.toml",
    slack: SlackOption = 0.25,
    force: Force = False,
    no_progress: NoProgress = False,
) -> None:
    """Learn a policy from good models.

    Every bound is what was measured and some slack, ready to edit: for all tensors of a role, and for
    single tensors that several models agree on. The models are audited by the policy before it is
    written. Exit codes: 0 written; 1 a model has errors, so it is not good; 2 wrong usage; 3 a model
    could not be read whole.
    """
    from weightaudit.cli.output import check_output, destination, say, write_file, write_stdout

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    file = destination(output)
    if file is not None:
        from weightaudit.discover import search

        check_output(file, search(good).targets)
        if file.exists() and not force:
            raise UsageError(f"{output} is there already; give --force to replace it, or another --output.")
    from weightaudit.auditor import Means
    from weightaudit.cli.progress import ProgressBar
    from weightaudit.learning import learn

    with ProgressBar(enabled=sys.stderr.isatty() and not no_progress) as bar:
        lesson = learn(good, slack=slack, means=Means(progress=bar.update))
    if file is None:
        write_stdout(lesson.text)
    else:
        write_file(file, lesson.text)
    from weightaudit.render.summary import plural

    source = f"{'a policy' if file is None else output} from {plural(len(lesson.report.models), 'model')}"
    bounds = f"{plural(lesson.roles, 'role')} and {plural(lesson.tensors, 'single tensor')}"
    say(f"wrote {source}: bounds for {bounds}, which all of them keep.")
