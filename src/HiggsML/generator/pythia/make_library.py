"""Produce the fast engine's library: ``python -m HiggsML.generator.pythia.make_library``.

Work is cut into chunks; each has its own seed, derived from the seed of the whole, the process and
the chunk's number, and its own file. Stop it at any time and start it again with the same options:
finished chunks are kept, and those of other settings or of an older version of the events refused.
Chunks are made in an order that lets all processes grow in proportion; even ones make the first
half of the library, odd ones the second. With ``--pack`` the chunks that exist are packed into one
file per process.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

import numpy as np

from HiggsML.generator.fast.library import pack
from HiggsML.generator.pythia.event_record import pythia_seed
from HiggsML.generator.pythia.hadronic_taus import make_hadronic_pool
from HiggsML.generator.pythia.production import produce
from HiggsML.generator.unfinished import go_on

__all__ = ["chunk_seed", "main", "make_chunk", "pack_chunks"]

SIZES = {
    "ztautau": 256_000,
    "htautau": 104_000,
    "ttbar": 84_000,
    "diboson": 64_000,
    "htautau_associated": 8_000,
}
"""Library events of each process that Pythia makes by default."""

CHUNK = 2_000
TAU_POOL = 40_000


def chunk_seed(seed: int, process: str, chunk: int) -> int:
    """Pythia's seed (1 .. 900,000,000) of one chunk."""
    return pythia_seed(np.random.SeedSequence([seed, list(SIZES).index(process), chunk]))


def make_chunk(process: str, chunk: int, seed: int, folder: Path) -> int:
    """Make one chunk and write it; return its number of events."""
    columns, tried = produce(process, CHUNK, seed=chunk_seed(seed, process, chunk))
    target = folder / f"{process}-{chunk:04d}.npz"
    unfinished = target.with_suffix(f".{os.getpid()}.part")
    with unfinished.open("wb") as file:
        np.savez(file, allow_pickle=False, tried=np.array(tried), **columns)
    unfinished.replace(target)
    return len(columns["weight"])


def pack_chunks(folder: Path, output: Path, *, seed: int) -> dict[str, int]:
    """Pack all chunks and a pool of tau decays into ``output``; return events per process."""
    output.mkdir(parents=True, exist_ok=True)
    number = {}
    for process in SIZES:
        halves = []
        tried = 0.0
        for parity in (0, 1):
            parts = []
            for path in sorted(folder.glob(f"{process}-*.npz")):
                if int(path.stem.rpartition("-")[2]) % 2 == parity:
                    with np.load(path) as archive:
                        parts.append({name: archive[name] for name in archive.files})
            if not parts:
                break
            tried += sum(float(part.pop("tried")) for part in parts)
            columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
            halves.append(columns)
        if len(halves) < 2:
            continue
        packed = pack(halves, seed=seed, tried=tried)
        np.savez_compressed(output / f"{process}.npz", allow_pickle=False, **packed)
        number[process] = int(packed["sizes"].sum())
    pool = output / "hadronic_tau.npz"
    if not pool.exists():
        decays = make_hadronic_pool(TAU_POOL, seed=chunk_seed(seed, "ztautau", 99_999))
        np.savez_compressed(pool, allow_pickle=False, values=decays.rows().astype(np.float16))
    return number


def _schedule(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield the chunks that are missing, all processes growing in proportion."""
    chunks = [
        ((number + 0.5) / (size // CHUNK), process, number)
        for process, size in SIZES.items()
        for number in range(size // CHUNK)
    ]
    for _, process, number in sorted(chunks):
        if not (folder / f"{process}-{number:04d}.npz").exists():
            yield process, number


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line; produce all chunks that are missing, or pack those that exist."""
    parser = argparse.ArgumentParser(description="Produce the library of the fast engine.")
    parser.add_argument("--output", type=Path, required=True, help="folder for the chunk files")
    parser.add_argument("--seed", type=int, default=20261)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--pack", type=Path, help="pack what is there into this folder")
    options = parser.parse_args(arguments)
    go_on(options.output, {"seed": options.seed, "events per chunk": CHUNK})
    if options.pack is not None:
        number = pack_chunks(options.output, options.pack, seed=options.seed)
        sys.stdout.write(f"packed {number}\n")
        return 0
    todo = _schedule(options.output)
    started = time.monotonic()
    done = 0
    with ProcessPoolExecutor(options.workers) as pool:
        running: dict[Future[int], tuple[str, int]] = {}
        while True:
            while len(running) < options.workers and (job := next(todo, None)) is not None:
                running[pool.submit(make_chunk, *job, options.seed, options.output)] = job
            if not running:
                return 0
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                process, chunk = running.pop(future)
                done += future.result()
                rate = done / (time.monotonic() - started)
                sys.stdout.write(f"{process} chunk {chunk}: {done} events, {rate:.0f}/s\n")
                sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
