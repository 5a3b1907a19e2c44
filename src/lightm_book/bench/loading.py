"""How many training images a second one core prepares: cases in memory, augmented, stacked into batches.

    python -m lightm_book.bench.loading --size 512 512 --batch 12

A GPU that trains on R images a second needs R divided by this number of workers (`train.workers`).
"""

import argparse
import statistics
import time

import torch

from lightm.data import load_dataset
from lightm.data.loading import SegmentationData, load_batches

PHANTOMS = {2: "phantom-cxr", 3: "phantom-ct"}


def images_per_second(data: SegmentationData, batch: int, batches: int) -> list[float]:
    """One number a batch, from one process with one thread, as a worker has."""
    draws = ([((start + i) % len(data), 0, start) for i in range(batch)] for start in range(batches + 1))
    loader, found = load_batches(data, draws, workers=0, pin_memory=False), []
    next(loader)
    for _ in range(batches):
        began = time.perf_counter()
        next(loader)
        found.append(batch / (time.perf_counter() - began))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs="+", default=[512, 512])
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--batches", type=int, default=8)
    args = parser.parse_args()
    torch.set_num_threads(1)
    dataset = load_dataset(PHANTOMS[len(args.size)], cases=4, size=64)
    data = SegmentationData(dataset, dataset.case_ids, args.size, "zscore", augment=True)
    rates = images_per_second(data, args.batch, args.batches)
    shape = " x ".join(map(str, args.size))
    print(f"{shape}: {statistics.median(rates):.1f} images a second and core ({min(rates):.1f} to {max(rates):.1f})")


if __name__ == "__main__":
    main()
