"""A ranking from beginning to end, as its how-to shows it: interrupted, moved, made again.

The five example submissions and seven variants of the sample submission (two seeds, two sizes, one
that fails, one that hangs, one that remembers) are ranked by one command with two workers, which is
killed on the way and started again. Then the archive is moved, scored again, a row is made again, a
changed byte is looked for, and a submission joins.

``python benchmarks/rank_demonstration.py --input mini`` writes ``results/rank.json``; ``make
tables`` puts the numbers into ``docs/how_to/rank.md``.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
EXAMPLES = ("classifier_counting", "counting", "gaming", "no_systematics")
_CHANGE = """

_Honest = Model


class Model(_Honest):
    def predict(self, test_set):
{body}
"""
VARIANTS = {
    "seed_2": (("default_rng(1)", "default_rng(2)"), ("seed=100", "seed=200")),
    "seed_3": (("default_rng(1)", "default_rng(3)"), ("seed=100", "seed=300")),
    "half_the_events": (("MAX_EVENTS = 30_000_000", "MAX_EVENTS = 160_000"),),
    "few_events": (("MAX_EVENTS = 30_000_000", "MAX_EVENTS = 30_000"),),
    "fails": "        raise ValueError('this one fails')",
    "hangs": "        while True:\n            pass",
    "remembers": (
        "        answer = super().predict(test_set)\n"
        "        self.before = 0.5 * (answer['mu_hat'] + getattr(self, 'before', 1.0))\n"
        "        return {**answer, 'mu_hat': self.before}"
    ),
}


def make_submissions(folder):
    """Write the twelve submissions."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "sample_submission", folder / "sample_submission")
    for name in EXAMPLES:
        shutil.copytree(ROOT / "examples" / name, folder / name)
    for name, change in VARIANTS.items():
        model = Path(shutil.copytree(ROOT / "sample_submission", folder / name)) / "model.py"
        text = model.read_text(encoding="utf-8")
        if isinstance(change, str):
            text = text.replace("MAX_EVENTS = 30_000_000", "MAX_EVENTS = 30_000")
            text += _CHANGE.format(body=change)
        else:
            for old, new in change:
                if old not in text:
                    raise SystemExit(f"the sample submission has no {old!r} any more")
                text = text.replace(old, new)
        model.write_text(text, encoding="utf-8")


def higgsml(*words, **keywords):
    """Run a command; return its exit code, output and errors."""
    main = [sys.executable, "-c", "from HiggsML.cli import main; main()"]
    return subprocess.run(
        [*main, *map(str, words)], capture_output=True, text=True, check=False, **keywords
    )


def measured(board):
    """Return how many answers the interrupted runs have kept."""
    checkpoints = board.glob("runs/*/.predictions.checkpoint.jsonl")
    return sum(max(0, len(path.read_bytes().splitlines()) - 1) for path in checkpoints)


def rank_interrupted(words, board, share, total):
    """Rank; kill the command when a share of the answers is there, and start it again."""
    main = [sys.executable, "-c", "from HiggsML.cli import main; main()"]
    started = time.monotonic()
    with subprocess.Popen(
        [*main, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as command:
        while command.poll() is None and measured(board) < share * total:
            time.sleep(0.5)
        command.kill()
    kept = measured(board)
    print(f"killed after {kept:,} answers", flush=True)
    result = higgsml(*words)
    if result.returncode:
        raise SystemExit(result.stderr)
    made, shown = re.search(
        r"([\d,]+) pseudo-experiments were made, and shown ([\d,]+) times", result.stderr
    ).groups()
    return {
        "kept_of_the_killed": kept,
        "made_after_it": int(made.replace(",", "")),
        "shown_after_it": int(shown.replace(",", "")),
        "minutes": (time.monotonic() - started) / 60,
    }


def move_and_check(board, input_dir, moved):
    """Move the archive; score it again, make a row again, find a changed byte."""
    before = {
        path.relative_to(board): path.read_bytes()
        for path in board.rglob("*")
        if path.is_file() and path.name not in ("ro-crate-metadata.json", "SHA256SUMS")
    }
    shutil.rmtree(moved, ignore_errors=True)
    shutil.move(board, moved)
    started = time.monotonic()
    scored = higgsml("rank", "--rescore", moved)
    seconds = time.monotonic() - started
    changed = [str(name) for name in before if (moved / name).read_bytes() != before[name]]
    made = higgsml("rank", "--reproduce", moved, "counting", "--input", input_dir, "--workers", 2)
    answer = moved / "runs" / "counting" / "predictions" / "result_3.json"
    kept = answer.read_bytes()
    answer.write_bytes(kept[:100] + bytes([kept[100] ^ 1]) + kept[101:])
    found = higgsml("rank", "--rescore", moved)
    answer.write_bytes(kept)
    return {
        "rescored": scored.returncode == 0,
        "rescore_seconds": seconds,
        "changed_by_rescoring": changed,
        "reproduced": made.returncode == 0,
        "changed_byte": found.stderr.strip().replace(str(moved), "BOARD"),
    }


def rows(board):
    """Return the board for a page."""
    content = json.loads((board / "board.json").read_text(encoding="utf-8"))
    table = [
        {
            "name": row["name"],
            "rank": [row["rank"], row["last_rank"]],
            "interval_score": [row["interval_score"], row["errors"]["total"]],
            "quantiles_score": [row["quantiles_score"], *row["official_range"]],
            "coverage": [row["coverage"]["coverage"], row["coverage"]["error"]],
            "width": row["metrics"]["width"],
            "minutes": row["minutes"],
        }
        for row in content["rows"]
    ]
    failed = {
        name: reason.splitlines()[0][:200] for name, reason in sorted(content["failed"].items())
    }
    by = content["by_interval_score"]
    return {
        "rows": table,
        "failed": failed,
        "resolution": by["smallest_resolvable_difference"],
        "level": by["family_wise_error"],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", type=Path, default=ROOT / "input_data")
    parser.add_argument("--output", type=Path, default=ROOT / "outputs" / "rank_demonstration")
    parser.add_argument("--sets", type=int, default=10)
    parser.add_argument("--pseudo-experiments", type=int, default=1000)
    parser.add_argument("--json", type=Path, default=HERE / "results" / "rank.json")
    flags = parser.parse_args()
    submissions, board = flags.output / "submissions", flags.output / "board"
    make_submissions(submissions)
    shutil.rmtree(board, ignore_errors=True)
    words = [
        *("rank", submissions, "--input", flags.input, "--output", board, "--workers", 2),
        *("--sets", flags.sets, "--pseudo-experiments", flags.pseudo_experiments),
        *("--seed", 2024, "--predict-seconds", 60),
    ]
    total = flags.sets * flags.pseudo_experiments
    content = {"sets": flags.sets, "experiments": flags.pseudo_experiments}
    content["ranked"] = rank_interrupted(words, board, share=2.0, total=total)
    print(json.dumps(content["ranked"]), flush=True)
    content["moved"] = move_and_check(board, flags.input, flags.output / "moved")
    print(json.dumps(content["moved"]), flush=True)
    shutil.copytree(ROOT / "examples" / "counting", submissions / "late")
    words[words.index(board)] = flags.output / "moved"
    joined = higgsml(*words)
    content["joined"] = joined.returncode == 0
    content |= rows(flags.output / "moved")
    flags.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
