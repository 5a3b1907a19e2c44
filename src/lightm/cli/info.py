"""lightm info: what is installed, which scan backend runs, which data is there."""

import argparse
import os

from lightm.cli.data import found
from lightm.cli.parser import AddCommand
from lightm.cpu.cores import free_cores


def add(command: AddCommand) -> None:
    """Declare the command and its arguments."""
    command(
        "info",
        _run,
        "what is installed, which scan backend runs, which data is there",
        "Show versions, hardware, scan backends (and why one does not run here), data sets and networks.",
        "  lightm info",
    )


def _run(args: argparse.Namespace) -> None:
    free = free_cores()  # before torch's own threads begin to spin

    import torch

    from lightm.data import list_datasets
    from lightm.models import list_models
    from lightm.scan import backends, choose_backend
    from lightm.training.provenance import git_state, hardware, versions

    def table(title: str, rows: list[tuple[str, ...]]) -> None:
        widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1]]
        print(f"\n{title}")
        for *cells, last in rows:
            print(" ", *(f"{cell:<{width}} " for cell, width in zip(cells, widths, strict=True)), last)

    here, installed, git = hardware(), versions(), git_state()
    commit = f"commit {git['commit']:.12}{', changed' if git['dirty'] else ''}" if git["commit"] else git["why"]
    print(f"lightm {installed.pop('lightm')} ({commit})")
    print(", ".join(f"{name} {number}" for name, number in installed.items()))
    threads = f"{here['cores']} cores, {free} free now, {here['threads']} threads"
    print(f"{here['cpu']}, {threads}; GPU: {here['gpu'] or 'none'}; {here['system']}")

    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    chosen, _ = choose_backend(torch.empty(0, device=device))
    state = {True: "ready", False: "not here"}
    rows = [(n, "in use" if n == chosen else state[s.available], s.reason) for n, s in backends(device).items()]
    table(f"selective scan on {device}", rows)
    home = os.environ.get("LIGHTM_DATA")
    table(
        f"data sets (files under LIGHTM_DATA{f' = {home}' if home else ', which is not set'})",
        [(info.name, *found(info)) for info in list_datasets()],
    )
    table("networks", [(info.name, f"{info.summary} ({info.paper_section})") for info in list_models()])
