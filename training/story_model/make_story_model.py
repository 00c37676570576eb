"""Makes the story model from nothing: text, tokenizer, training, export, check. See README.md."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ASSETS = HERE.parents[1] / "assets" / "story"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for the checkpoint; not part of the project")
    parser.add_argument("--output", type=Path, default=ASSETS, help="folder for model, training log and samples")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--epochs", type=float, help="default: that of train.py")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    args.output.mkdir(parents=True, exist_ok=True)
    checkpoint, model = args.work / "story.pt", args.output / "story.gguf"
    epochs = [] if args.epochs is None else ["--epochs", args.epochs]
    environment = os.environ | {"OMP_NUM_THREADS": str(args.threads)}

    def run(script: str, *arguments) -> None:
        command = [sys.executable, str(HERE / script), *map(str, arguments)]
        if code := subprocess.run(command, env=environment, check=False).returncode:
            sys.exit(code)

    log = args.output / "training_log.tsv"
    run("train.py", "--output", checkpoint, "--log", log, "--threads", args.threads, *epochs)
    run("export_gguf.py", checkpoint, model)
    run("check.py", model, "--checkpoint", checkpoint, "--samples", args.output / "samples.txt")


if __name__ == "__main__":
    main()
