"""lightm-book count: the paper's tables, or the memory of every system's training step, counted again."""

import argparse
import json
import sys

from lightm.cli.parser import AddCommand


def add(command: AddCommand) -> None:
    """Declare the command and its arguments."""
    sub = command(
        "count",
        _run,
        "Tables 1 to 3 of the paper: printed, by thop, counted once",
        """\
Count the networks of the paper's tables again: what the tool thop reports, which the tables print, and
each parameter and multiply-accumulate once. With --memory: the bytes of every system's training step.""",
        """\
  lightm-book count
  lightm-book count --json > results/counting.json
  lightm-book count --memory                          writes results/memory.json; minutes, all cores""",
    )
    what = sub.add_mutually_exclusive_group()
    what.add_argument("--json", action="store_true", help="print the rows as JSON")
    what.add_argument("--memory", action="store_true", help="count memory instead, and write results/memory.json")


def _run(args: argparse.Namespace) -> None:
    if not args.memory:
        return _tables(args.json)
    from lightm_book import ROOT, need_clone
    from lightm_book.counting.memory_table import write_memory

    need_clone("lightm-book count --memory")
    write_memory(ROOT / "results" / "memory.json")


def _tables(as_json: bool) -> None:
    from lightm_book.counting.tables import count_tables

    rows = []
    for row in count_tables():
        rows.append(row)
        print(f"Table {row['table']}, {row['row']} …", file=sys.stderr, flush=True)
    if as_json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    print(f"{'':30} {'parameters, millions':^24} {'multiply-accumulates, billions':^34}")
    print(f"{'table, row':30} {'printed':>8} {'thop':>7} {'true':>7} {'printed':>12} {'thop x batch':>12} {'true':>8}")
    for r in rows:
        name = f"{r['table']}  {r['row']}"
        params = f"{r['paper_params_m']:8.2f} {r['thop_params'] / 1e6:7.2f} {r['params'] / 1e6:7.2f}"
        macs = f"{r['paper_gflops']:12.2f} {r['thop_macs'] * r['batch'] / 1e9:12.2f} {r['macs'] / 1e9:8.2f}"
        print(f"{name:30} {params} {macs}")
    print("True: each parameter and each multiply-accumulate once, the scan included, for one image.")
