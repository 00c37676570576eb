"""The texts of `texts/` as sets for `torchless guard eval`: `python written_sets.py FOLDER`."""

import json
import pathlib
import sys

import collect

LABELS = {0: "benign", 1: "injection"}


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
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
