"""The trainer: one recipe in, one run folder out, on Hugging Face Accelerate (CPU, one GPU or several processes).

A run is killed at any instant and goes on bit for bit: weights, optimiser and the position in the run are in the last
checkpoint, and all randomness is a function of the position (`lightm.training.randomness`).
"""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from lightm.data.base import Dataset
from lightm.data.loading import load_batches, worker_count
from lightm.errors import LightMError
from lightm.files import clear_leftovers
from lightm.provenance import peak_memory
from lightm.training.checkpoint import (
    Position,
    find_checkpoint,
    load_model,
    load_optimizer,
    load_state,
    save_checkpoint,
)
from lightm.training.config import Config, config_from_dict
from lightm.training.evaluation import autocast, evaluate
from lightm.training.execution import keep_gradient_layout, prepare_network, set_determinism, to_device
from lightm.training.interrupts import Interrupted, StopRequests
from lightm.training.logs import Counting, Progress, Row, TensorBoardLog, draw_curves, write_log
from lightm.training.losses import DiceCrossEntropy, NonFiniteLoss
from lightm.training.metrics import merit
from lightm.training.optim import build_optimizer, learning_rate
from lightm.training.randomness import Draw, epoch_batches, seed_iteration
from lightm.training.record import load_record, run_record, save_record
from lightm.training.task import RECORD_FILE, TENSORBOARD_FOLDER, create_run, load_task


class Trainer:
    """`Trainer(config, out).fit()` trains the network of a recipe and returns the record of the run.

    out: the run folder to make; with resume=True the one to go on in, under the very same recipe, data and split.
    on_epoch(epoch, row): called after each epoch with its row of the log (a live curve in a notebook).
    quiet: no progress is shown.
    deadline: on the clock of `time.monotonic`; past it the run saves a checkpoint and raises Interrupted.
    LightMError: whatever does not fit is named before anything is touched.
    """

    def __init__(
        self,
        config: Config,
        out: str | Path,
        resume: bool = False,
        on_epoch: Callable[[int, Row], None] | None = None,
        quiet: bool = False,
        deadline: float | None = None,
    ):
        self.config, self.out, self.on_epoch, self.deadline = config, Path(out), on_epoch, deadline
        self.checkpoint = self._checked_folder(resume)
        set_determinism(config.train.deterministic)
        # Precision is the run's own matter (`autocast`), whatever `accelerate launch` was configured to.
        self.accelerator = Accelerator(mixed_precision="no")
        self.device = self.accelerator.device
        self.quiet = quiet or not self.accelerator.is_main_process
        self.task = load_task(config)
        self.steps = self._steps()
        self.identity = {"split": self.task.split.sha256, "data set": self.task.dataset.fingerprint()}

        torch.manual_seed(config.train.seed)
        self.net = self.task.model().to(self.device)
        self._try_network()
        self.model = prepare_network(self.net, config)  # called in training; `net` holds the weights
        self.optimizer = build_optimizer(self.net, config.optim)
        self.loss = DiceCrossEntropy()
        self.position = Position()
        if self.checkpoint:
            self._restore(self.checkpoint)
        self.train_data = self.task.data("train", self._counting("reading the training cases"), augment=True)
        self.val_data = self.task.data("val", self._counting("reading the validation cases"))
        if self.accelerator.num_processes > 1:
            keep_gradient_layout(self.net)
        self.model = self.accelerator.prepare_model(self.model)

    # ---- before the first iteration -------------------------------------------------------------------------------

    def _checked_folder(self, resume: bool) -> Path | None:
        """The checkpoint to go on from, or None for a new run; its state is then in `self.state`."""
        if resume:
            found = find_checkpoint(self.out / "last")
            if not found:
                raise LightMError(f"There is nothing to resume in {self.out}; leave out --resume to start there.")
            self.state = load_state(found)
            if changed := self.config.difference(config_from_dict(self.state["config"])):
                raise LightMError(f"Can't resume {self.out} with another recipe than its own: {changed}.")
            return found
        if self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise LightMError(
                f"{self.out} exists already; go on in it with --resume, or choose another folder by --out."
            )
        return None

    def _steps(self) -> int:
        """Iterations of an epoch."""
        train, cases = self.config.train, len(self.task.split.train)
        shares = train.accumulate * self.accelerator.num_processes
        if train.batch_size % shares:
            raise LightMError(
                f"train.batch_size = {train.batch_size} can't be shared by {shares} = accumulate x processes; "
                f"use {math.ceil(train.batch_size / shares) * shares}."
            )
        steps = train.iterations_per_epoch or cases // train.batch_size
        if not steps:
            raise LightMError(
                f"train.batch_size = {train.batch_size} is more than the {cases} cases to train on; lower it."
            )
        return steps

    def _try_network(self) -> None:
        """One blank image: a size that the network can't take is known before the data is read."""
        image = torch.zeros(1, self.task.dataset.in_channels, *self.config.data.size, device=self.device)
        with torch.no_grad():
            self.net.eval()(image)

    def _restore(self, folder: Path) -> None:
        state = self.state
        for what, now in self.identity.items():
            before = state["identity"][what]
            if before != now:
                raise LightMError(f"Can't resume {self.out}: its {what} was {before:.12} (hash) and is {now:.12} now.")
        load_model(folder, self.net)
        load_optimizer(folder, state, self.net, self.optimizer)
        self.position = Position(**state["position"])

    # ---- the run --------------------------------------------------------------------------------------------------

    def fit(self) -> dict[str, Any]:
        """Train from where the run stands to its end, score the best checkpoint on the test cases, write the record."""
        if (self.out / RECORD_FILE).exists():
            return load_record(self.out / RECORD_FILE)
        self.train()
        record = self._finish()
        self.progress.close()
        return record

    def train(self) -> None:
        """The training alone, with its validations: the test cases are neither read nor scored."""
        self.began = time.monotonic()
        self.position.sittings += 1
        epochs = self.config.train.epochs
        if not self.checkpoint and self.accelerator.is_main_process:
            create_run(self.out, self.config, self.task.split, lambda folder: self._save(folder / "last"))
        if self.checkpoint and self.accelerator.is_main_process:
            clear_leftovers(self.out)
        self.accelerator.wait_for_everyone()
        done = self.position.epoch * self.steps + self.position.step
        self.progress = Progress(epochs * self.steps, done, self.quiet)
        folder = self.out / TENSORBOARD_FOLDER if self.accelerator.is_main_process else None
        tell = "stopping after this iteration, with a checkpoint …"
        with (
            StopRequests(lambda: self.progress.say(tell), self.deadline) as self.stop,
            closing(TensorBoardLog(folder, self.position.rows)) as self.tensorboard,
        ):
            workers = worker_count(self.config.train.workers, self.device, self.accelerator.num_processes)
            batches = load_batches(self.train_data, self._draws_to_come(), workers, self.device.type == "cuda")
            while self.position.epoch < epochs:
                self._train_epoch(batches)
                self._close_epoch()
            del batches  # and with it the workers

    def _draws(self, epoch: int) -> list[list[list[Draw]]]:
        """What this process draws in an epoch: the parts of the batch of each iteration."""
        train = self.config.train
        return epoch_batches(
            len(self.train_data),
            train.batch_size,
            train.accumulate,
            self.steps,
            seed=train.seed,
            epoch=epoch,
            rank=self.accelerator.process_index,
            world=self.accelerator.num_processes,
        )

    def _draws_to_come(self) -> Iterator[list[Draw]]:
        """The same from where the run stands to its end, part by part: workers go ahead of the training by it."""
        start, step = self.position.epoch, self.position.step
        for epoch in range(start, self.config.train.epochs):
            for parts in self._draws(epoch)[step if epoch == start else 0 :]:
                yield from parts

    def _train_epoch(self, batches: Iterator[tuple[Tensor, Tensor]]) -> None:
        position, epochs = self.position, self.config.train.epochs
        self.model.train()
        for parts in self._draws(position.epoch)[position.step :]:
            started = time.monotonic()
            loss = self._iteration([(draws, next(batches)) for draws in parts])
            position.step += 1
            position.loss_sum += loss
            position.epoch_seconds += time.monotonic() - started
            self.progress.step(position.epoch + 1, epochs, position.loss_sum / position.step)
            if self._anywhere(self.stop.asked):
                self._pause()

    def _iteration(self, parts: list[tuple[Sequence[Draw], tuple[Tensor, Tensor]]]) -> float:
        """One optimiser step over all parts of a batch; returns its mean loss over all processes."""
        iteration = self.position.epoch * self.steps + self.position.step
        optim, train = self.config.optim, self.config.train
        seed_iteration(train.seed, iteration, self.accelerator.process_index)  # for dropout and its like
        self.optimizer.zero_grad(set_to_none=True)
        losses = []
        for i, (_, (image, label)) in enumerate(parts):
            last = i == len(parts) - 1  # gradients travel between processes once per step
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                with autocast(self.device, train.precision):
                    logits = self.model(to_device(image, self.device, train))  # (B, K, *S)
                loss = self.loss(logits, label.to(self.device, non_blocking=True)) / len(parts)
                self.accelerator.backward(loss)
            losses.append(loss.detach())
        norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), optim.clip or math.inf)
        # The one moment at which the CPU waits for a GPU. Nothing is updated with what is not finite.
        self._check_finite(torch.stack([*losses, norm.to(losses[0].dtype)]).tolist(), [d for d, _ in parts], iteration)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(iteration, self.steps * train.epochs, optim)
        self.optimizer.step()
        return self.accelerator.reduce(torch.stack(losses).sum(), "mean").item()

    def _check_finite(self, values: list[float], parts: list[Sequence[Draw]], iteration: int) -> None:
        """values: the loss of each part, and the norm of the gradient."""
        *losses, norm = values
        for loss, draws in zip(losses, parts, strict=True):
            if not math.isfinite(loss):
                raise self._non_finite(f"The loss is {loss}", [draws], iteration)
        if not math.isfinite(norm):
            raise self._non_finite(f"The gradient's norm is {norm}", parts, iteration)

    def _non_finite(self, what: str, parts: list[Sequence[Draw]], iteration: int) -> NonFiniteLoss:
        cases = ", ".join(self.train_data.case_ids[case] for draws in parts for case, _, _ in draws)
        return NonFiniteLoss(
            f"{what} at iteration {iteration + 1} (epoch {self.position.epoch + 1}), with the cases {cases}; the "
            "weights were not updated. Look at these images, or lower optim.lr, or set optim.clip = 1."
        )

    def _close_epoch(self) -> None:
        """Validate, log, checkpoint. The best one first: if the process dies between the two, this is done again."""
        position, train = self.position, self.config.train
        epoch, started = position.epoch + 1, time.monotonic()
        scores, native, val_loss = None, None, None
        if epoch == 1 or epoch % train.validate_every == 0 or epoch == train.epochs:
            options = self._evaluation() | {"native": self._native()}
            scores, native, val_loss = evaluate(self.net, self.val_data, loss=self.loss, **options)
            if self._anywhere(self.stop.asked):
                self._pause()  # before the row is written: validation runs again
        row: Row = {
            "epoch": epoch,
            "iteration": epoch * self.steps,
            "lr": self.optimizer.param_groups[0]["lr"],
            "train_loss": position.loss_sum / position.step,
            "val_loss": val_loss,
            "val_dsc": scores and scores["summary"]["dsc"]["mean"],
            "val_iou": scores and scores["summary"]["iou"]["mean"],
            "val_dsc_native": native and native["summary"]["dsc"]["mean"],
            "images_per_second": round(train.batch_size * self.steps / position.epoch_seconds, 3),
            "seconds": round(position.epoch_seconds + time.monotonic() - started, 3),
        }
        position.rows.append(row)
        position.epoch, position.step, position.loss_sum, position.epoch_seconds = epoch, 0, 0.0, 0.0
        if scores and (position.best is None or merit(row) > merit(position.best)):
            position.best = {key: row[key] for key in ("epoch", "val_dsc", "val_dsc_native", "val_loss")}
            self._save(self.out / "best", resumable=False)
        self._save(self.out / "last")
        self._write_log()
        self.tensorboard.epoch(row)
        self.progress.epoch(row, train.epochs, position.peak_memory_bytes)
        if self.on_epoch:
            self.on_epoch(epoch, row)

    def _pause(self) -> None:
        self._save(self.out / "last")
        self.progress.close()
        raise Interrupted(f"Stopped at iteration {self.position.epoch * self.steps + self.position.step}.")

    def _finish(self) -> dict[str, Any]:
        """Score the best checkpoint on the held-out test cases, once, and write what was measured."""
        self.accelerator.wait_for_everyone()
        self._write_log()
        if self.accelerator.is_main_process:
            draw_curves(self.position.rows, self.out / "curves.png", self.config.name)
        load_model(find_checkpoint(self.out / "best"), self.net)
        epoch = self.position.best["epoch"]
        self.progress.say(f"scoring the {len(self.task.split.test)} test cases with the weights of epoch {epoch}")
        test = self.task.data("test", self._counting("reading the test cases"))
        scoring = self._evaluation() | {"native": self._native(), "progress": self._counting("scoring")}
        scores, native_scores, _ = evaluate(self.net, test, **scoring)
        self._clock()
        record = run_record(
            self.config, self.task, self.identity, self.net, self.device, self.accelerator.num_processes, self.position
        )
        record |= {"test": scores} | ({"test_native": native_scores} if native_scores else {})
        if self.accelerator.is_main_process:
            save_record(record, self.out / RECORD_FILE)
        return record

    # ---- small parts ----------------------------------------------------------------------------------------------

    def _evaluation(self) -> dict[str, Any]:
        batch_size, precision = self.config.eval.batch_size, self.config.train.precision
        return {"accelerator": self.accelerator, "batch_size": batch_size, "precision": precision}

    def _native(self) -> Dataset | None:
        """Where the masks at the cases' own size are read from, if those are scored too."""
        return self.task.dataset if self.config.eval.native else None

    def _counting(self, what: str) -> Counting:
        return Counting(what, self.quiet)

    def _anywhere(self, flag: bool) -> bool:
        """Whether the flag is up in any process; all must leave the loop at the same iteration."""
        if self.accelerator.num_processes == 1:
            return flag
        return bool(self.accelerator.reduce(torch.tensor(float(flag), device=self.device), "sum").item())

    def _clock(self) -> None:
        now = time.monotonic()
        self.position.wall_seconds += now - self.began
        self.position.peak_memory_bytes = max(self.position.peak_memory_bytes, peak_memory(self.device))
        self.began = now

    def _save(self, folder: Path, resumable: bool = True) -> None:
        self._clock()
        if self.accelerator.is_main_process:
            state = {
                "config": self.config.to_dict(),
                "identity": self.identity,
                "task": self.task.description(),
                "position": dataclasses.asdict(self.position),
            }
            save_checkpoint(folder, state, self.net, self.optimizer if resumable else None)

    def _write_log(self) -> None:
        if self.accelerator.is_main_process:
            write_log(self.position.rows, self.out / "log.csv")
