"""`AuditCheckpoint`: saves a model while it trains, but only what passes the audit."""

from __future__ import annotations

import logging
import os
import sys
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weightaudit.auditor import policy_of
from weightaudit.dtypes import itemsize
from weightaudit.errors import UsageError, WeightauditError
from weightaudit.keras.backend import Callback, keras, require_keras_model, require_one_process
from weightaudit.keras.gate import Archive, Draft, Gate
from weightaudit.keras.live import Projector
from weightaudit.keras.telling import message, name_of, summary
from weightaudit.keras.wishes import Project, wishes_of
from weightaudit.policy import Policy, parse_fail_on
from weightaudit.rule import Severity
from weightaudit.versions.store import check_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from weightaudit.report import Report
    from weightaudit.versions.version import Version

_log = logging.getLogger("weightaudit")


class AuditCheckpoint(Callback):
    """`keras.callbacks.ModelCheckpoint` that audits before it replaces the last good checkpoint.

    The model is saved beside its place, audited there, and only if it passes does it replace, in
    one step, what is there. One that fails, or cannot be written, changes nothing, and training
    goes on.

    Args:
        filepath: As of `keras.callbacks.ModelCheckpoint`, like all arguments up to
            `initial_value_threshold`: it decides when to save, and under which name. A checkpoint
            that was not written does not count as the best.
        monitor: See there.
        verbose: See there.
        save_best_only: See there.
        save_weights_only: See there.
        mode: See there.
        save_freq: See there.
        initial_value_threshold: See there.
        policy: What to judge: a policy, or the path of a policy file; by default the built-in
            rules as they come.
        fail_on: A checkpoint with findings of this severity or worse does not replace the last
            good one: ``error``, ``warning``, ``note`` or ``never``; by default as the policy says.
        stop_on: Findings of this severity or worse stop the training: ``error``, ``warning`` or
            ``note``; None: they do not. The model is then audited after every epoch, also where
            there is nothing to save.
        keep_rejected: Whether the newest checkpoint that failed is kept as ``PATH.rejected``.
        store: Version store in which every good checkpoint becomes a version: its directory, or
            True for ``.weightaudit`` beside the checkpoint; None: nothing is kept.
        name: Name of the model in the store; by default that of the file, without placeholders.
        keep: Versions to keep in the store; older ones are pruned, unless they have a tag.
        project: Projections that are applied to the weights while the model trains: one, such as
            ``"max_norm(2, axis=0)"``, or several. ``{"non_neg": "*/bias"}``, or pairs of this kind,
            says for which variables, by globs over `variable.path`; without, trainable kernels and
            embeddings are meant.
        project_every: After how many batches they are applied. In between they are applied before
            the model is validated or saved, too, so that what is saved complies; but for mere
            steps, such as soft thresholding.
        strict: Whether it ends the training with an error that a checkpoint cannot be written or
            a version cannot be made; otherwise that is logged.

    Attributes:
        last_report: The newest audit; None before the first.
        last_good: The checkpoint that was written last; None before the first.
        last_version: The version that was made last; None before the first.

    Raises:
        UsageError: An argument makes no sense.
        RuleError: A rule or projection cannot be loaded.
        ValueError: An argument of `ModelCheckpoint` makes no sense.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        *,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
        policy: Policy | str | os.PathLike[str] | None = None,
        fail_on: Severity | str | None = None,
        stop_on: Severity | str | None = None,
        keep_rejected: bool = False,
        store: str | os.PathLike[str] | bool | None = None,
        name: str | None = None,
        keep: int | None = None,
        project: Project | None = None,
        project_every: int = 1,
        strict: bool = False,
    ) -> None:
        super().__init__()
        self.last_report: Report | None = None
        self.last_good: Path | None = None
        self.last_version: Version | None = None
        # It decides when to save, and believes that a stand-in, which saves through the gate, is the model.
        self._timing = keras.callbacks.ModelCheckpoint(
            filepath,
            monitor=monitor,
            verbose=verbose,
            save_best_only=save_best_only,
            save_weights_only=save_weights_only,
            mode=mode,
            save_freq=save_freq,
            initial_value_threshold=initial_value_threshold,
        )
        if "://" in self.filepath:
            raise UsageError(
                f"{self.filepath} is no path of this machine, and cannot be replaced in one step."
            )
        said = policy_of(policy)
        level = said.fail_on if fail_on is None else _severity(fail_on, "fail_on")
        archive = _archive(self.filepath, store=store, name=name, keep=keep)
        self._gate = Gate(said, level, archive, keep_rejected=keep_rejected)
        self._projector = Projector(wishes_of(project, said.plugins), project_every)
        self._stop_on = None if stop_on is None else _severity(stop_on, "stop_on")
        self._strict = strict
        self._epoch = 0
        self._logs: Mapping[str, Any] = {}
        self._is_audited = False

    @property
    def filepath(self) -> str:
        """Path of the checkpoints, with placeholders."""
        return str(self._timing.filepath)

    @property
    def best(self) -> float | None:
        """With `save_best_only`, the best value of `monitor` that was written; None before the first."""
        value: float | None = self._timing.best
        return value

    def set_params(self, params: Mapping[str, Any]) -> None:
        super().set_params(params)
        self._timing.set_params(params)

    def set_model(self, model: Any) -> None:
        """Take the model that is going to be trained.

        Raises:
            UsageError: It is a model of another Keras, or several processes train it.
        """
        require_keras_model(model)
        require_one_process(model.distribute_strategy)
        super().set_model(model)
        self._timing.set_model(_StandIn(model, self._save))

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Make the store, so that a wrong place is found now, and not after an epoch.

        Raises:
            StoreError: It cannot be made.
            WriteError: The directory that it is to be in cannot be made.
            UsageError: Something else is there.
        """
        self._gate.prepare()
        self._projector.begin(self.model)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._epoch, self._is_audited = epoch, False
        self._projector.begin_epoch()
        self._timing.on_epoch_begin(epoch, logs)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._projector.after_batch(batch)
        self._attempt(lambda: self._timing.on_train_batch_end(batch, logs), logs)

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._projector.settle()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._attempt(lambda: self._timing.on_epoch_end(epoch, logs), logs)
        if self._stop_on is not None and not self._is_audited:
            self._attempt(self._inspect, logs)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        self._projector.end()

    def _attempt(self, action: Callable[[], None], logs: Mapping[str, Any] | None) -> None:
        """Do what may save, and forget what did not come to be saved."""
        best, self._logs = self._timing.best, logs or {}
        try:
            action()
        except _RejectedError:
            self._timing.best = best
        except UsageError:
            raise
        except (OSError, WeightauditError) as error:
            self._timing.best = best
            self._complain(error, "what was there is left as it was")

    def _save(self, place: Path) -> None:
        self._projector.settle()
        outcome = self._gate.admit(self._draft(), place)
        self._take(outcome.report, f"{place} is left as it was")
        if outcome.report.ok:
            self.last_good, self.last_version = place, outcome.version or self.last_version
        if outcome.problem is not None:
            kept = "is in place, but did not become a version" if outcome.report.ok else "is not kept aside"
            self._complain(outcome.problem, f"{place} {kept}")
        if not outcome.report.ok:
            raise _RejectedError

    def _inspect(self) -> None:
        self._projector.settle()
        report = self._gate.inspect(self._draft(), Path(self.filepath))
        self._take(report, "the model does not pass the audit")

    def _take(self, report: Report, refused: str) -> None:
        """Keep an audit, say once what it found, and stop the training if that was asked for."""
        self.last_report, self._is_audited = report, True
        worst = max((finding.severity for finding in report.findings), default=None)
        stops = self._stop_on is not None and worst is not None and worst >= self._stop_on
        said = [refused] * (not report.ok) + ["training stops"] * stops
        if stops:
            self.model.stop_training = True
        if said:
            _log.warning("%s: %s", self._now(" and ".join(said)), summary(report, self._gate.names))
            self._print(" and ".join(said))
        elif worst is not None:
            _log.info("%s: %s", self._now("the audit"), summary(report, self._gate.names))

    def _print(self, said: str) -> None:
        if self._timing.verbose > 0 and keras.config.is_interactive_logging_enabled():
            sys.stdout.write(f"\n{self._now(said)}\n")

    def _draft(self) -> Draft:
        variables = [
            *self.model.variables,
            *getattr(getattr(self.model, "optimizer", None), "variables", ()),
        ]
        nbytes = sum(prod(variable.shape) * itemsize(variable.dtype) for variable in variables)
        return Draft(self._write, nbytes, message(self._epoch, self._logs))

    def _write(self, staged: Path) -> None:
        save = self.model.save_weights if self._timing.save_weights_only else self.model.save
        save(staged, overwrite=True)

    def _complain(self, error: Exception, consequence: str) -> None:
        if self._strict:
            raise error
        reason = str(error).replace("with --output", "for filepath")  # which commands call it
        _log.error("%s", self._now(f"{consequence}, and training goes on: {reason}"))

    def _now(self, said: str) -> str:
        return f"Epoch {self._epoch + 1}: {said}"


class _RejectedError(Exception):
    """Tells through `ModelCheckpoint` that nothing was saved."""


class _StandIn:
    """What `ModelCheckpoint` takes for the model."""

    def __init__(self, model: Any, save: Callable[[Path], None]) -> None:
        self._model = model
        self._save = save

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def save(self, filepath: str, **_: Any) -> None:
        self._save(Path(filepath))

    def save_weights(self, filepath: str, **_: Any) -> None:
        self._save(Path(filepath))


def _severity(value: Severity | str, where: str) -> Severity | None:
    return value if isinstance(value, Severity) else parse_fail_on(value, where)


def _archive(
    filepath: str, *, store: str | os.PathLike[str] | bool | None, name: str | None, keep: int | None
) -> Archive | None:
    if store is None or store is False:
        if name is not None or keep is not None:
            raise UsageError("name and keep say how versions are kept; add store=True, or a directory.")
        return None
    if store == "":
        raise UsageError(
            "store is empty; name a directory, or give True for .weightaudit beside the checkpoint."
        )
    if keep is not None and keep < 1:
        raise UsageError("keep must be at least 1.")
    place = None if store is True else Path(store)
    return Archive(check_name(name_of(filepath) if name is None else name), place, keep)
