"""A process that has everything imported, and forks for each run of a scenario.

Requests come as lines of JSON on standard input. To each, the answers on standard output are the
number of the forked process, and, once that has ended, its outcome.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import shutil
import signal
import sys
import traceback
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.faults.commands import EVERY
from tests.faults.injection import Fault, Injector
from tests.faults.scenarios import ENDLESS, SCENARIOS, Scenario
from weightaudit.errors import WeightauditError
from weightaudit.storage.termination import Terminated, terminable


def main() -> None:
    """Serve until standard input ends."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it would be ignored
    gc.freeze()  # so that a fork copies little
    for line in sys.stdin:
        _serve(json.loads(line))


def _serve(request: dict[str, Any]) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        _run(request, writer)
    _answer({"process": child})
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        told = stream.read()
    _, status = os.waitpid(child, 0)
    outcome: dict[str, Any] = json.loads(told) if told else {"code": None, "message": "", "calls": []}
    _answer(outcome | {"signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0})


def _answer(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def _run(request: dict[str, Any], writer: int) -> None:
    """Run a scenario, tell what came of it, and end."""
    scenario = (SCENARIOS | ENDLESS | EVERY)[request["scenario"]]
    injector = Injector(Fault(**request["fault"]))
    if request["confines"]["user"] and request["scenario"] in EVERY:
        _import_all(scenario, Path(request["world"]))
    is_stopped = request["confines"].pop("stopped")
    _confine(**request["confines"])

    def arm() -> None:
        injector.arm()
        if is_stopped:
            os.kill(os.getpid(), signal.SIGSTOP)

    try:
        # A command does that itself.
        with terminable() if request["scenario"] not in EVERY else nullcontext():
            code, message = scenario.act(Path(request["world"]), arm)
    except WeightauditError as error:
        code, message = error.exit_code, str(error)
    except KeyboardInterrupt:
        code, message = 130, ""
    except Terminated as end:
        code, message = end.exit_code, ""
    except BaseException:  # noqa: BLE001 - whatever it was, it should not have come out
        code, message = 70, traceback.format_exc()
    injector.disarm()
    calls = [asdict(call) for call in injector.calls] if request["tell"] else []
    with os.fdopen(writer, "wb", closefd=False) as stream:
        stream.write(json.dumps({"code": code, "message": message, "calls": calls}).encode())
    os._exit(0)


def _import_all(scenario: Scenario, world: Path) -> None:
    """Run a scenario in another world, since who it is confined to be may not read Python's own files."""
    other = world.with_name("import")
    shutil.copytree(world, other)
    scenario.act(other, lambda: None)
    shutil.rmtree(other)


def _confine(user: int, largest_file: int) -> None:
    """Take rights away from this process."""
    if largest_file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    if user and os.geteuid() == 0:
        os.setegid(user)
        os.seteuid(user)


if __name__ == "__main__":
    main()
