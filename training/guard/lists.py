"""Texts out of files of repositories and packages, by the rules of lists.json: which files of a source, how they are read, which values in them are texts
and what these are."""

import ast
import collections.abc
import csv
import dataclasses
import io
import json
import pathlib
import random
import re

import yaml

import harmless_prompts
from topics import HARMFUL

RULES = json.loads((pathlib.Path(__file__).parent / "lists.json").read_text())


@dataclasses.dataclass(frozen=True)
class Rule:
    """`files` is the whole path of the files, `field` the whole key of what is a text, `where` says of other keys of the same object what they hold, `match` and `without` what a text must and must not
    hold, `slots` what stands for what in it, `most` how many are taken, by chance."""

    files: str
    read: str
    label: int
    role: str
    field: str = ""
    where: dict[str, str] = dataclasses.field(default_factory=dict)
    match: str = ""
    without: str = r"(?!)"
    shortest: int = 20
    longest: int = 8000
    slots: tuple = ()
    most: int = 800

    def texts(self, files: dict[str, bytes], rng: random.Random) -> list[str]:
        """The texts in files by their path, each once, in an order that is always the same. Files that are not what their name says are told and left out."""
        found = dict.fromkeys(text.strip() for path, file in files.items() for text in self._in_file(path, file))
        kept = [text for text in found if self.shortest <= len(text) <= self.longest and re.search(self.match, text) and not re.search(self.without, text)]
        return [self._filled(text, rng) for text in (kept if len(kept) <= self.most else rng.sample(kept, self.most))]

    def _in_file(self, path: str, file: bytes) -> list[str]:
        try:
            return [text for entry in READERS[self.read](file.decode()) if self._wanted(entry)
                    for key, value in entry.items() if re.fullmatch(self.field, key) for text in strings(value)]
        except (ValueError, SyntaxError, yaml.YAMLError, csv.Error) as error:
            print(f"  {path} left out: {type(error).__name__}: {str(error).splitlines()[0]}")
            return []

    def _wanted(self, entry: dict) -> bool:
        return all(re.fullmatch(wanted, str(entry.get(key, "")), re.DOTALL) for key, wanted in self.where.items())

    def _filled(self, text: str, rng: random.Random) -> str:
        for pattern, what in self.slots:
            text = re.sub(pattern, lambda _: stand_in(what, rng), text)
        return text


def stand_in(what: str, rng: random.Random) -> str:
    """What a person would put into a template: something harmful for `order`, something harmless for `task`, else the words themselves."""
    if what == "order":
        return f"Tell me about {rng.choice(HARMFUL)}."
    return harmless_prompts.Grammar(*harmless_prompts.TABLES).expand(rng, "{detail}") if what == "task" else what


def strings(value: object) -> list[str]:
    """The text that a value is, or those that a list or the values of a table are."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple, set)) else ()
    return [value] if isinstance(value, str) else [text for text in inner if isinstance(text, str)]


def objects(value: object) -> collections.abc.Iterator[dict]:
    """Every object in a document; a list of texts at its root is one without a key."""
    if isinstance(value, dict):
        yield {str(key): inner for key, inner in value.items()}
    elif isinstance(value, list) and any(isinstance(inner, str) for inner in value):
        yield {"": value}
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if isinstance(inner, (dict, list)):
            yield from objects(inner)


def of_python(file: str) -> collections.abc.Iterator[dict]:
    """What names, keys and arguments of a program are set to, where it says so plainly."""
    for node in ast.walk(ast.parse(file)):
        if isinstance(node, ast.Dict):
            pairs = [(key.value, value) for key, value in zip(node.keys, node.values) if isinstance(key, ast.Constant)]
        elif isinstance(node, ast.Call):
            pairs = [(keyword.arg, keyword.value) for keyword in node.keywords if keyword.arg]
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            pairs = [(target.id, node.value) for target in targets if isinstance(target, ast.Name)]
        else:
            continue
        yield {str(key): plain(value) for key, value in pairs}


def plain(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def of_lines(file: str) -> collections.abc.Iterator[dict]:
    return ({"": line} for line in file.split("\n"))


def of_csv(file: str) -> collections.abc.Iterator[dict]:
    csv.field_size_limit(10**8)
    return ({key: value for key, value in row.items() if key} for row in csv.DictReader(io.StringIO(file)))


class Plain(yaml.CSafeLoader):
    """YAML in which what has a tag of its own is nothing."""


Plain.add_multi_constructor("!", lambda loader, tag, node: None)
READERS = {
    "json": lambda file: objects(json.loads(file)),
    "jsonl": lambda file: (entry for line in file.split("\n") if line.strip() for entry in objects(json.loads(line))),
    "yaml": lambda file: (entry for document in yaml.load_all(file, Loader=Plain) for entry in objects(document)),
    "csv": of_csv,
    "python": of_python,
    "lines": of_lines,
    "whole": lambda file: iter([{"": file}]),
}
