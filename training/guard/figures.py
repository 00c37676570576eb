"""The tables of the model card, from the training log: `python figures.py assets/guard/training_log.json`."""

import json
import pathlib
import sys

ROLES = {"user": "Typed text", "tool": "What tools return"}


def percent(part: float) -> str:
    return f"{100 * part:.1f} %"


def table(figures: dict, kind: str, title: str) -> list[str]:
    """`kind` is recall or flagged; one line per set that has some."""
    overall = figures["overall"]
    lines = [title, "|---|---|---|---|"]
    for name, entry in figures.items():
        if name != "overall" and kind in entry:
            at_one, at_tenth, count = entry[kind]
            lines.append(f"| {name} | {count} | {percent(at_one)} | {percent(at_tenth)} |")
    if kind == "recall":
        lines.append(f"| all together | {overall['attacks']} | {percent(overall['recall'][0])} | {percent(overall['recall'][1])} |")
    mean = overall[f"macro {kind}"]
    return lines + [f"| mean of the sets | | {percent(mean[0])} | {percent(mean[1])} |"]


def views(figures: dict) -> list[str]:
    """What each view reaches alone."""
    lines = ["| view | area under the curve | recall at 1 % | at 0.1 % | mean of the sets at 1 % |", "|---|---|---|---|---|"]
    for name, view in figures.items():
        overall = view["overall"]
        lines.append(f"| {name} | {overall['auc']:.3f} | {percent(overall['recall'][0])} | {percent(overall['recall'][1])} | {percent(overall['macro recall'][0])} |")
    return lines


def main() -> None:
    log = json.loads(pathlib.Path(sys.argv[1]).read_text())
    count = {name: sum(entry[name] for entry in log["rows"].values()) for name in ("attacks", "harmless")}
    of = lambda kind: sum(sum(entry.values()) for name, entry in log["rows"].items() if f" {kind}" in name)
    print(f"{sum(count.values()):,} texts, {count['attacks']:,} of them attacks; {of('generated'):,} from the tables of this folder, {of('written'):,} from its texts")
    low, high = log["leave_one_dataset_out"]["tool"]["attacked tools alone"]["overall"]["between"]
    print(f"against clean outputs of the same tools: {percent(low)} to {percent(high)} of attacked outputs at 1 %, orders drawn anew")
    for role, title in ROLES.items():
        figures = log["leave_one_dataset_out"][role]
        print(f"\n## {title}\n")
        print("\n".join(views(figures)) + "\n")
        print("\n".join(table(figures["both views"], "recall", "| attacks | n | recall at 1 % | at 0.1 % |")) + "\n")
        print("\n".join(table(figures["both views"], "flagged", "| harmless | n | flagged at 1 % | at 0.1 % |")))


if __name__ == "__main__":
    main()
