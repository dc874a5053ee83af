"""Makes things go wrong while a model is written, and says whether what was promised was kept.

A `Scenario` is one change of a small world: a directory that it builds, an action that changes it
from ``old`` to ``new``, and a look at which of the two it is, by our own reader. To have another
command put through every test of this folder, add one line to `scenarios.SCENARIOS`::

    "repair in place": Scenario(build, command("repair", "m.keras", "--in-place"), state),

where `build(world)` makes ``world/here/m.keras`` (the command runs in ``here``), and `state(world)`
returns ``old``, ``new``, or what is wrong. Whatever else the command leaves in ``here``, such as a
version store, must have the same names in every clean run, or lie in ``world`` outside of it.

The action runs in a process that a `ForkServer` forks for it, so that a run costs milliseconds.
There `injection` counts the calls to the file system, and lets one of them go wrong as a `Fault`
says. `Trial` runs a scenario under a fault and asserts what is promised:

* the world is old or new, whole, whatever happened;
* it is new if the action said that it was done, and old if it failed, unless it said that the new
  one is in place;
* nothing else is left behind, unless the process was killed, or said that it could not finish;
* the next run clears that up, and succeeds.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.faults.commands import EVERY
from tests.faults.injection import Call, Fault
from tests.faults.models import CHECKOUT
from tests.faults.scenarios import HERE, SCENARIOS
from weightaudit.storage.journal import SUFFIX as RECORD
from weightaudit.storage.staging import SUFFIX

if TYPE_CHECKING:
    from types import TracebackType

DONE, REFUSED, FAILED, INTERRUPTED, TERMINATED = 0, 2, 3, 130, 143
"""Exit codes: it was done, made no sense, was not done, and was told to end in either way."""

NEW_IS_THERE = ("is in place, but", "is replaced and whole, but")
"""What is said where the new state is there in spite of a failure."""

NOT_READY = "is not ready"
"""What is said where only the store is there, and perhaps not durably."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        code: Exit code; None if the process was killed.
        message: What it said.
        signal: The signal that killed it, or 0.
        calls: Its calls to the file system, if they were asked for.
    """

    code: int | None
    message: str
    signal: int
    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Confines:
    """What a run has to get along with.

    Attributes:
        user: Number of the user that it becomes, if this one is root; 0 for none.
        largest_file: Bytes that it may write to one file; 0 for any number.
        stopped: Whether it stops when faults may begin, until it is told to go on.
    """

    user: int = 0
    largest_file: int = 0
    stopped: bool = False


class ForkServer:
    """Runs scenarios in forked processes, one at a time."""

    def __init__(self) -> None:
        paths = (str(CHECKOUT), str(CHECKOUT / "rules"))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=CHECKOUT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            text=True,
        )

    def run(
        self,
        scenario: str,
        world: Path,
        fault: Fault | None = None,
        confines: Confines | None = None,
        *,
        tell: bool = False,
    ) -> Outcome:
        """Run a scenario's action and wait for its end.

        Args:
            scenario: Its name.
            world: Directory that it was built in.
            fault: What goes wrong.
            confines: What it has to get along with.
            tell: Whether the calls are wanted.
        """
        self.start(scenario, world, fault, confines, tell=tell)
        return self.outcome()

    def start(
        self,
        scenario: str,
        world: Path,
        fault: Fault | None = None,
        confines: Confines | None = None,
        *,
        tell: bool = False,
    ) -> int:
        """Start a scenario's action, as `run` does, and return the number of its process."""
        request = {
            "scenario": scenario,
            "world": str(world),
            "fault": asdict(fault or Fault()),
            "confines": asdict(confines or Confines()),
            "tell": tell,
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._answer()["process"])

    def outcome(self) -> Outcome:
        """Wait until the action has ended, and return how."""
        answer = self._answer()
        calls = tuple(Call(**call) for call in answer["calls"])
        return Outcome(answer["code"], answer["message"], answer["signal"], calls)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """End the server."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Trial:
    """One scenario, to be put to the test again and again.

    Args:
        server: Runs it.
        scenario: Its name.
        folder: Empty directory for its worlds.

    Attributes:
        name: Name of the scenario.
        world: The directory of the world that is being tried.
        calls: The calls of a run in which nothing goes wrong.
    """

    def __init__(self, server: ForkServer, scenario: str, folder: Path) -> None:
        self._server = server
        self.name = scenario
        self._scenario = (SCENARIOS | EVERY)[scenario]
        self._pristine = folder / "pristine"
        self.world = folder / "world"
        self._scenario.build(self._pristine)
        self._names = {"old": names(self._pristine)}
        self.renew()
        outcome = server.run(scenario, self.world, tell=True)
        assert (outcome.code, self.state()) == (DONE, "new"), outcome.message
        self._names["new"] = names(self.world)
        self.calls = outcome.calls

    def state(self) -> str:
        """Return what is in the world."""
        return self._scenario.state(self.world)

    def is_clean(self) -> bool:
        """Say whether nothing is in the world but what belongs to its state."""
        return names(self.world) == self._names[self.state()]

    def renew(self) -> None:
        """Make the world old again."""
        shutil.rmtree(self.world, ignore_errors=True)
        shutil.copytree(self._pristine, self.world)

    def suffer(self, fault: Fault | None = None, confines: Confines | None = None) -> tuple[Outcome, str]:
        """Run the scenario in an old world, let something go wrong, and assert what is promised.

        Returns:
            How the run ended, and the state of the world then, before the next run succeeded.
        """
        self.renew()
        outcome = self._server.run(self.name, self.world, fault, confines)
        self.assert_kept(outcome, f"{fault or confines}")
        state = self.state()
        self.assert_next_run_succeeds()
        return outcome, state

    def assert_kept(self, outcome: Outcome, story: str) -> None:
        """Assert that a run that began in an old world kept what is promised."""
        story = f"{self.name}, {story}: {outcome.code} {outcome.message}"
        state, left = self.state(), names(self.world)
        assert state in {"old", "new"}, f"{story}: {state}"
        if outcome.code is None:
            assert outcome.signal == signal.SIGKILL, story
            return
        assert not any(SUFFIX in name for name in left), f"{story}: {left}"
        is_told = any(words in outcome.message for words in NEW_IS_THERE)
        said_new = is_told and NOT_READY not in outcome.message
        if outcome.code in {INTERRUPTED, TERMINATED}:
            assert left == self._names[state], f"{story}: {left}"
            return
        assert outcome.code in {DONE, FAILED}, story
        if said_new and "@" in outcome.message:  # a version is; what it was made for may be old or new
            return
        assert state == ("new" if outcome.code == DONE or said_new else "old"), f"{story}: {state}"
        assert said_new or left == self._names[state], f"{story}: {left ^ self._names[state]}"

    def assert_next_run_succeeds(self, confines: Confines | None = None) -> None:
        """Assert that another run, in whatever world the last one left, makes it new and clears up."""
        if self.is_clean():
            return  # as any run finds it
        refuses = self.state() == "new" and not self._scenario.repeatable
        outcome = self._server.run(self.name, self.world, confines=confines)
        assert outcome.code in ({FAILED, REFUSED} if refuses else {DONE}), outcome.message
        assert self.state() == "new"
        left = names(self.world) ^ self._names["new"]
        # What refuses to replace a model does not look for what is left of how that got there.
        assert not left or (refuses and all(RECORD in name or SUFFIX in name for name in left)), left


def names(world: Path) -> frozenset[str]:
    """Return the names of everything that is where the model is."""
    here = world / HERE
    return frozenset(path.relative_to(here).as_posix() for path in here.rglob("*"))
