"""The texts of `texts/` as sets for `torchless guard eval`."""

import argparse
import json
import pathlib

import collect

LABELS = {0: "benign", 1: "injection"}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=pathlib.Path, help="where a file per set is written")
    folder = arguments.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    rows = collect.Rows()
    collect.written(rows)
    sets: dict[str, list[str]] = {}
    for row in rows.rows.values():
        entry = {"text": row["text"], "label": LABELS[row["label"]], "role": row["role"]}
        sets.setdefault(row["source"].removeprefix("written-"), []).append(json.dumps(entry, ensure_ascii=False) + "\n")
    for name, lines in sets.items():
        (folder / f"{name}.jsonl").write_text("".join(lines))


if __name__ == "__main__":
    main()
