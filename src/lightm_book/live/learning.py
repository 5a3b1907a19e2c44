"""A small LightM-UNet that learns while one watches: play, pause, change the learning rate, start again."""

import numpy as np
import torch
from matplotlib.figure import Figure

from lightm.data import load_dataset
from lightm.models import build_model
from lightm.training.losses import DiceCrossEntropy
from lightm.training.metrics import dice_iou
from lightm_book.live.explorable import WIDE, Live, picture
from lightm_book.show.figures import COLORS, Slider, frames_slider
from lightm_book.show.training import error_legend, error_map

SIZE, CASES, BATCH = 32, 16, 4
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)


class Learner:
    """A network, its data, and what came out of the steps so far. The last case of the data is held out."""

    def __init__(self, seed: int = 0):
        data = load_dataset("phantom-cxr", cases=CASES, size=SIZE)
        cases = [data.read(name) for name in data.case_ids]
        images = [torch.from_numpy(case.image[:1]).float() / 255 for case in cases]
        self.images = torch.stack(images)  # (cases, 1, H, W)
        self.labels = torch.stack([torch.from_numpy(case.label).long() for case in cases])  # (cases, H, W)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.model = build_model("lightm-unet", 2, 1, 2, width=8, depths=(1, 1), bottleneck_depth=1)
        self.optimizer = torch.optim.AdamW(self.model.parameters())
        self.loss, self.order = DiceCrossEntropy(), np.random.default_rng(seed)
        self.losses: list[float] = []
        self.scores: list[tuple[int, float]] = []  # (step, DSC of the held-out case)

    def step(self, rate: float, steps: int = 1) -> None:
        """Train on a few batches with this learning rate, then score the held-out case."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        for _ in range(steps):
            chosen = torch.from_numpy(self.order.choice(len(self.images) - 1, BATCH, replace=False))
            loss = self.loss(self.model(self.images[chosen]), self.labels[chosen])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.losses.append(loss.item())
        dsc, _ = dice_iou(self.prediction()[None], self.labels[-1:], 2)
        self.scores.append((len(self.losses), dsc.mean().item()))

    @torch.no_grad()
    def prediction(self) -> torch.Tensor:
        """The label map (H, W) of the held-out case."""
        return self.model(self.images[-1:]).argmax(1)[0]

    def draw(self) -> Figure:
        """Loss and held-out DSC so far, and where the held-out prediction is wrong."""
        figure = Figure(figsize=(6.4, 3.6), dpi=110, layout="constrained")
        curve, picture = figure.subplots(1, 2, width_ratios=(1.5, 1))
        curve.plot(range(1, len(self.losses) + 1), self.losses, color=COLORS[0], label="loss")
        if self.scores:
            curve.plot(*zip(*self.scores, strict=True), "o-", color=COLORS[1], markersize=3, label="DSC, held out")
        curve.set(xlabel="step", xlim=(0, max(10, len(self.losses))), ylim=(0, 2))
        curve.legend(fontsize=10)
        picture.imshow(error_map(self.images[-1, 0].numpy(), self.prediction().numpy(), self.labels[-1].numpy()))
        picture.set(xticks=[], yticks=[], title="held out")
        error_legend(figure)
        return figure


ALT = "A small network learns: its loss and the DSC of a held-out case against the step, and where it is still wrong"


class LiveLearning(Live):
    """The last line of a cell: a training with play and pause in a live notebook, frames of one elsewhere."""

    steps = 5  # between two pictures

    def widget(self):
        """An ipywidgets.VBox: play and pause, the learning rate, a button that starts again, and the figure."""
        from ipywidgets import HTML, Button, HBox, Play, SelectionSlider, VBox

        learner = Learner()
        play = Play(value=0, min=0, max=200, interval=400, description="train", show_repeat=False)
        rates = [(f"{rate:g}", rate) for rate in RATES]
        rate = SelectionSlider(options=rates, value=1e-3, description="learning rate", **WIDE)
        again = Button(description="start again")

        def now() -> str:
            score = f"DSC {learner.scores[-1][1]:.2f} on the held-out case" if learner.scores else "nothing learnt yet"
            return picture(learner.draw(), f"After {len(learner.losses)} steps: {score}.", ALT)

        shown = HTML(now())

        def tick(change):
            if change["new"]:
                learner.step(rate.value, self.steps)
                shown.value = now()

        def restart(_button):
            nonlocal learner
            learner, play.value = Learner(), 0
            shown.value = now()

        play.observe(tick, "value")
        again.on_click(restart)
        return VBox([HBox([play, again]), rate, shown])

    def still(self) -> Slider:
        """The pictures of a training that nobody touches."""
        learner, figures, labels = Learner(), [], []
        for pictures in range(7):
            if pictures:
                learner.step(3e-3, 2 * self.steps)
            figures.append(learner.draw())
            labels.append(f"after {len(learner.losses)} steps")
        return frames_slider(figures, labels, ALT)


def watch_learning() -> LiveLearning:
    """A small LightM-UNet on synthetic radiographs of 32 x 32 pixels, which learns while one watches."""
    return LiveLearning()
