"""A figure with settings: widgets where a kernel answers, frames where none does."""

import base64
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.util import find_spec
from typing import Any

from IPython import get_ipython
from matplotlib.figure import Figure

from lightm_book.show.figures import Slider, frames_slider, png_bytes

Draw = Callable[..., tuple[Figure, str]]  # of the settings by name: the figure, and what it shows in a sentence

WIDE = {"style": {"description_width": "9em"}, "layout": {"width": "min(100%, 34em)"}}  # room for a control's label


@dataclass(frozen=True)
class Slide:
    """A setting that is an integer, from low to high."""

    label: str
    low: int
    high: int
    value: int
    step: int = 1

    def widget(self):
        from ipywidgets import IntSlider

        return IntSlider(self.value, self.low, self.high, self.step, description=self.label, **WIDE)


@dataclass(frozen=True)
class Choose:
    """A setting that is one of a few. options: the value of each text; value: the one to begin with."""

    label: str
    options: Mapping[str, Any]
    value: Any

    def widget(self):
        from ipywidgets import SelectionSlider

        return SelectionSlider(options=list(self.options.items()), value=self.value, description=self.label, **WIDE)


def picture(figure: Figure, says: str, alt: str) -> str:
    """The figure as an <img> whose alt text also says what it shows now, and the same sentence under it."""
    data = base64.b64encode(png_bytes(figure)).decode()
    return (
        f'<img src="data:image/png;base64,{data}" alt="{escape(f"{alt}. {says}")}" '
        f'style="max-width:100%;height:auto"><p aria-live="polite">{escape(says)}</p>'
    )


class Live(ABC):
    """The last line of a cell: `widget()` where a kernel answers the reader, `still()` where none does."""

    @abstractmethod
    def widget(self):
        """The ipywidgets that compute while the reader moves them."""

    @abstractmethod
    def still(self) -> Slider:
        """Some of their pictures, for a page."""

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, Any]:
        if answers():
            return self.widget()._repr_mimebundle_()
        still = self.still()
        return {"text/html": still.html, "text/plain": repr(still)}


@dataclass(frozen=True)
class Explorable(Live):
    """The last line of a cell: shown as widgets in a live notebook, as a slider over frames elsewhere.

    draw: makes the figure of the settings. controls: a setting each, by the names that `draw` takes.
    frames: the settings of the frames, each beside a short label; what they leave out keeps its first value.
    alt: what the figure shows, whatever the settings.
    """

    draw: Draw
    controls: Mapping[str, Slide | Choose]
    frames: Sequence[tuple[str, Mapping[str, Any]]]
    alt: str

    def picture(self, **settings: Any) -> str:
        """The HTML of the figure at these settings; those left out have their first value."""
        start = {name: control.value for name, control in self.controls.items()}
        return picture(*self.draw(**start | settings), self.alt)

    def widget(self):
        """An ipywidgets.VBox: the controls, and the figure, which follows them."""
        from ipywidgets import HTML, VBox

        controls = {name: control.widget() for name, control in self.controls.items()}
        shown = HTML(self.picture())

        def redraw(_change) -> None:
            shown.value = self.picture(**{name: control.value for name, control in controls.items()})

        for control in controls.values():
            control.observe(redraw, "value")
        return VBox([*controls.values(), shown])

    def still(self) -> Slider:
        """The frames, which need no kernel."""
        start = {name: control.value for name, control in self.controls.items()}
        figures = [self.draw(**start | settings)[0] for _, settings in self.frames]
        return frames_slider(figures, [label for label, _ in self.frames], self.alt)


def answers() -> bool:
    """Whether a kernel answers a reader: in a notebook with ipywidgets, unless LIGHTM_STATIC=1: it becomes a page."""
    static = os.environ.get("LIGHTM_STATIC", "0") not in ("", "0")
    return not static and hasattr(get_ipython(), "kernel") and find_spec("ipywidgets") is not None
