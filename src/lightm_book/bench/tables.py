"""A record of a benchmark as a table for the terminal."""

from typing import Any

TITLES = {"forward": "forward", "forward_backward": "forward + backward", "step": "training step"}


def bench_table(record: dict[str, Any]) -> str:
    """Median times, how many times the first contender's they are, peak memory, and what was left out and why."""
    lines = []
    if record["kind"] == "scan":
        for row in record["shapes"]:
            for name in row["bound_s"]:
                least = f"; this machine's bound is {_time(row['bound_s'][name])}"
                shape = ",".join(map(str, row["shape"]))
                lines += _block(f"scan {shape}, {TITLES[name]}{least}", row["contenders"], name)
    else:
        size = " x ".join(map(str, record["size"]))
        title = f"{record['model']}, {size}, batch {record['batch']}, {record['params']:,} parameters: a training step"
        lines += _block(title, record["contenders"], "step")
        if record["parts"]:
            lines += _parts(record["parts"])
    lines += _reasons(record)
    here = record["environment"]["hardware"]
    return "\n".join([*lines, f"{here['cpu']}, {here['threads']} threads; {here['gpu'] or 'no GPU'}"])


def _block(title: str, contenders: list[dict[str, Any]], key: str) -> list[str]:
    measured = [row for row in contenders if (row.get(key) or {}).keys() & {"median_s", "memory_bytes"}]
    if not measured:
        return []
    first = measured[0][key].get("median_s")
    width = max(26, *(len(row["name"]) for row in measured))
    lines = [title, f"  {'':{width}}  {'median':>9}  {'times':>8}  {'memory':>11}"]
    for row in measured:
        seconds, memory = row[key].get("median_s"), row[key].get("memory_bytes")
        shown = "-" if memory is None else f"{memory / 2**20:,.{int(memory < 10 * 2**20)}f} MiB"
        median, ratio = (_time(seconds), f"{seconds / first:.1f}") if seconds else ("-", "-")
        lines.append(f"  {row['name']:<{width}}  {median:>9}  {ratio:>8}  {shown:>11}  {_note(row[key])}".rstrip())
    return [*lines, ""]


def _parts(parts: dict[str, Any]) -> list[str]:
    lines = ["by part, of the network as it comes: forward + backward"]
    for name, times in parts["parts"].items():
        lines.append(f"  {name:<26}  {_time(times['forward_ms'] / 1e3):>9} + {_time(times['backward_ms'] / 1e3):>9}")
    return [*lines, ""]


def _reasons(record: dict[str, Any]) -> list[str]:
    """Who is missing from the tables, each reason once."""
    found: dict[str, None] = {}
    for row in record.get("shapes") or [record]:
        for contender in row["contenders"]:
            if contender["reason"]:
                found[f"{contender['name']}: {contender['reason']}"] = None
            for key, title in TITLES.items():
                skipped = (contender.get(key) or {}).get("skipped")
                where = f" at {','.join(map(str, row['shape']))}" if "shape" in row else ""
                if skipped:
                    found[f"{contender['name']}, {title}{where}: {skipped}"] = None
    return ["left out:", *(f"  {line}" for line in found), ""] if found else []


def _note(times: dict[str, Any]) -> str:
    if "median_s" not in times:
        return ""
    if times["disturbed"] > len(times["samples_s"]) // 2:
        return "(other programs were busy meanwhile)"
    return "" if times["warm"] else "(one call)"


def _time(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{1e3 * seconds:.2f} ms" if seconds >= 1e-3 else f"{1e6 * seconds:.0f} µs"
