"""The trainer: one recipe in, one run folder out, on Hugging Face Accelerate (CPU, one GPU or several processes).

A run is killed at any instant and goes on bit for bit: weights, optimiser and the position in the run are in the last
checkpoint, and all randomness is a function of the position (`lightm.training.randomness`).
"""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from itertools import tee
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightm.data.loading import load_batches, worker_count
from lightm.data.splits import save_split
from lightm.errors import LightMError
from lightm.files import clear_leftovers
from lightm.training import checkpoint, run_folder
from lightm.training.checkpoint import Position
from lightm.training.config import Config
from lightm.training.evaluation import autocast, evaluate
from lightm.training.execution import keep_gradient_layout, prepare_network, set_determinism, to_device, try_network
from lightm.training.interrupts import Interrupted, StopRequests
from lightm.training.logs import CaseProgress, Progress, Row, TensorBoardLog, draw_curves, write_log
from lightm.training.losses import build_loss, check_finite
from lightm.training.metrics import merit
from lightm.training.optim import build_optimizer, learning_rate
from lightm.training.provenance import peak_memory
from lightm.training.randomness import Draw, draws_to_come, iterations_per_epoch, seed_iteration
from lightm.training.record import load_record, run_record, save_record
from lightm.training.session import CoreWatch, describe, start_processes, warn_of_changes
from lightm.training.task import build_network, check_same_data, load_data
from lightm.training.weights import take_weights

Part = tuple[list[Draw], tuple[Tensor, Tensor]]  # of a batch: what was drawn; images (B, C, *S), labels (B, *S)


class Trainer:
    """`Trainer(config, out).fit()` trains the network of a recipe and returns the record of the run.

    out: the run folder to make; with resume=True the one to go on in, under the very same recipe, data and split.
    start_from: another run's folder, whose best weights are where this run begins.
    on_iteration(number): called before each iteration, which are counted from 1 over the whole run; what it raises
    ends the training without a further checkpoint, as a kill would.
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
        start_from: str | Path | None = None,
        on_iteration: Callable[[int], None] | None = None,
        on_epoch: Callable[[int, Row], None] | None = None,
        quiet: bool = False,
        deadline: float | None = None,
    ):
        self.config, self.out = config.located(), Path(out)
        self.on_iteration, self.on_epoch = on_iteration, on_epoch
        self.resumed = run_folder.state_to_resume(self.out, config) if resume else None
        if not resume:
            run_folder.check_free(self.out)
        set_determinism(config.train.deterministic)
        self.accelerator = start_processes()
        self.device, self.first_process = self.accelerator.device, self.accelerator.is_main_process
        self.data = load_data(self.config)
        self.task = self.data.task
        processes, cases = self.accelerator.num_processes, self.data.cases("train")
        self.steps = iterations_per_epoch(config.train, len(cases), processes)

        torch.manual_seed(config.train.seed)
        self.net = build_network(config, self.task).to(self.device)
        try_network(self.net, config, self.task, len(cases))
        self.start = take_weights(start_from, self.net, self.task) if start_from else None
        self.model = prepare_network(self.net, config)  # called in training; `net` holds the weights
        self.optimizer = build_optimizer(self.net, config.optim)
        self.loss = build_loss(config.train, len(self.task.classes), self.task.ignore).to(self.device)

        self.quiet = quiet or not self.first_process
        self.train_data = self.data.load("train", self._case_progress("reading the training cases"), augment=True)
        self.val_data = self.data.load("val", self._case_progress("reading the validation cases"))
        self.identity = self.data.identity(self.train_data, self.val_data)
        self.position = Position()
        if self.resumed:
            self._restore(self.resumed)
        if processes > 1:
            keep_gradient_layout(self.net)
        self.model = self.accelerator.prepare_model(self.model)

        self.session = describe(self.accelerator)
        watched = self.device.type == "cpu" and not quiet  # a notebook or a test that asked for silence gets it
        self.cores = CoreWatch(torch.get_num_threads() if watched else 1)
        self.progress = Progress(config.train.epochs * self.steps, self.quiet)
        stopping = "stopping after this iteration, with a checkpoint …"
        self.stop = StopRequests(lambda: self.progress.message(stopping), deadline)
        self.tensorboard = TensorBoardLog(self.out / run_folder.TENSORBOARD_FOLDER if self.first_process else None)
        self.clock = time.monotonic()  # up to here the run's time has been added up

    def _restore(self, state: dict[str, Any]) -> None:
        check_same_data(self.out, state["identity"], self.identity)
        folder = checkpoint.find_checkpoint(self.out / "last")
        checkpoint.load_model(folder, self.net)
        with checkpoint.reading(folder):
            checkpoint.load_optimizer(folder, state, self.net, self.optimizer)
            self.position = Position.read(state["position"])
        self.start = state.get("start")

    # ---- the run --------------------------------------------------------------------------------------------------

    def fit(self) -> dict[str, Any]:
        """Train from where the run stands to its end, score the best checkpoint on the test cases, write the record."""
        if (self.out / run_folder.RECORD_FILE).exists():
            return load_record(self.out / run_folder.RECORD_FILE)
        with self._run_folder():
            self._train()
            return self._finish()

    def train(self) -> None:
        """The training alone, with its validations: the test cases are neither read nor scored."""
        with self._run_folder():
            self._train()

    @contextmanager
    def _run_folder(self) -> Iterator[None]:
        """Within this block the run folder is there, and no other trainer works in it."""
        self.clock = time.monotonic()
        if self.position.sessions:
            warn_of_changes(self.position.sessions[-1], self.session)
        self.position.sessions.append(self.session)
        self.accelerator.wait_for_everyone()  # each has seen that the folder is free
        if self.first_process and not self.resumed:
            run_folder.create_run(self.out, self.config, self.data.split, lambda folder: self._save(folder / "last"))
        with run_folder.locked(self.out) if self.first_process else nullcontext():
            if self.first_process and self.resumed:
                if checkpoint.load_state(checkpoint.find_checkpoint(self.out / "last")) != self.resumed:
                    raise LightMError(f"{self.out} was trained in meanwhile; start this command again.")
                clear_leftovers(self.out)
                save_split(self.data.split, self.out / run_folder.SPLIT_FILE)
            self.accelerator.wait_for_everyone()
            try:
                yield
            finally:
                self.progress.close()

    def _train(self) -> None:
        position, train = self.position, self.config.train
        self.progress.start(position.epoch * self.steps + position.step)
        with self.stop, closing(self.tensorboard):
            self.tensorboard.start(position.rows)
            batches = self._batches()
            while position.epoch < train.epochs:
                self.model.train()
                while position.step < self.steps:
                    started = time.monotonic()
                    if self.on_iteration:
                        self.on_iteration(position.epoch * self.steps + position.step + 1)
                    loss = self._iteration([next(batches) for _ in range(train.accumulate)])
                    position.step += 1
                    position.loss_sum += loss
                    position.epoch_seconds += time.monotonic() - started
                    self.progress.step(position.epoch + 1, train.epochs, position.loss_sum / position.step)
                    self.cores.look()
                    if self._anywhere(self.stop.asked):
                        self._pause()
                self._close_epoch()

    def _batches(self) -> Iterator[Part]:
        """The parts of all batches from where the run stands to its end: what is drawn, with its images and labels."""
        train, position, cases = self.config.train, self.position, len(self.train_data)
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        draws = draws_to_come(train, cases, self.steps, position.epoch, position.step, rank, world)
        ahead, along = tee(draws)  # workers are ahead of the training
        workers = worker_count(train.workers, self.device, world)
        return zip(along, load_batches(self.train_data, ahead, workers, self.device.type == "cuda"), strict=True)

    def _iteration(self, parts: list[Part]) -> float:
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
        cases = [[self.train_data.case_ids[case] for case, _, _ in draws] for draws, _ in parts]
        check_finite(torch.stack([*losses, norm.to(losses[0].dtype)]).tolist(), cases, iteration, self.position.epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(iteration, self.steps * train.epochs, optim)
        self.optimizer.step()
        return self.accelerator.reduce(torch.stack(losses).sum(), "mean").item()

    def _close_epoch(self) -> None:
        """Validate, log, checkpoint. The best one first: if the process dies between the two, this is done again."""
        position, train = self.position, self.config.train
        epoch, started = position.epoch + 1, time.monotonic()
        scores, native, val_loss = None, None, None
        if epoch == 1 or epoch % train.validate_every == 0 or epoch == train.epochs:
            scores, native, val_loss = evaluate(self.net, self.val_data, loss=self.loss, **self._evaluation())
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
        if self.first_process:
            write_log(position.rows, self.out / "log.csv")
        self.tensorboard.epoch(row)
        self.progress.epoch(row, train.epochs, position.peak_memory_bytes)
        if self.on_epoch:
            self.on_epoch(epoch, row)

    def _pause(self) -> None:
        self._save(self.out / "last")
        raise Interrupted(f"Stopped at iteration {self.position.epoch * self.steps + self.position.step}.")

    def _finish(self) -> dict[str, Any]:
        """Score the best checkpoint on the held-out test cases, once, and write what was measured."""
        self.accelerator.wait_for_everyone()
        checkpoint.load_model(checkpoint.find_checkpoint(self.out / "best"), self.net)
        epoch, count = self.position.best["epoch"], len(self.data.cases("test"))
        self.progress.message(f"scoring the {count} test cases with the weights of epoch {epoch}")
        try:
            test = self.data.load("test", self._case_progress("reading the test cases"))
        except LightMError as error:
            raise LightMError(f"{error} The training is done and kept: after the repair --resume scores it.") from error
        scores, native, _ = evaluate(self.net, test, progress=self._case_progress("scoring"), **self._evaluation())
        self._add_time()
        record = run_record(self.config, self.data, self.identity, self.net, self.position, self.start)
        record |= {"test": scores} | ({"test_native": native} if native else {})
        if self.first_process:
            write_log(self.position.rows, self.out / "log.csv")
            draw_curves(self.position.rows, self.out / "curves.png", self.config.name)
            save_record(record, self.out / run_folder.RECORD_FILE)
        return record

    def _evaluation(self) -> dict[str, Any]:
        """How cases are scored: at the training size, and from their files at their own, if the recipe says so."""
        return {
            "accelerator": self.accelerator,
            "batch_size": self.config.eval.batch_size,
            "precision": self.config.train.precision,
            "native": self.data.dataset if self.config.eval.native else None,
        }

    def _case_progress(self, what: str) -> CaseProgress:
        return CaseProgress(what, self.quiet)

    def _anywhere(self, flag: bool) -> bool:
        """Whether the flag is up in any process; all must leave the loop at the same iteration."""
        if self.accelerator.num_processes == 1:
            return flag
        return bool(self.accelerator.reduce(torch.tensor(float(flag), device=self.device), "sum").item())

    def _add_time(self) -> None:
        now = time.monotonic()
        self.position.wall_seconds += now - self.clock
        self.position.peak_memory_bytes = max(self.position.peak_memory_bytes, peak_memory(self.device))
        self.clock = now

    def _save(self, folder: Path, resumable: bool = True) -> None:
        self._add_time()
        if self.first_process:
            state = {
                "config": self.config.to_dict(),
                "identity": self.identity,
                "task": dataclasses.asdict(self.task),
                "start": self.start,
                "position": dataclasses.asdict(self.position),
            }
            checkpoint.save_checkpoint(folder, state, self.net, self.optimizer if resumable else None)
