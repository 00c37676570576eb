"""The story grammar: loads `grammar.json`, tells stories from a seed, recognises prefixes of stories.

The file format and the order of random draws are described in README.md; a program that follows that
description tells the same text byte for byte. Not here: the tokenizer and the model.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, NamedTuple

HERE = Path(__file__).resolve().parent
GRAMMAR_PATH = HERE / "grammar.json"
FORMAT = 1
MASK64 = (1 << 64) - 1
PIECE = re.compile(r"<([a-z0-9_]+)>|\{([a-z0-9_]+)\.([A-Za-z0-9_]+)\}|([^<>{}]+)")


class SplitMix64:
    """SplitMix64 (Steele, Lea and Flood 2014): one 64-bit word of state, started at the seed."""

    def __init__(self, seed: int) -> None:
        self.state = seed & MASK64

    def next(self) -> int:
        """The next 64-bit word."""
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK64
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
        return z ^ (z >> 31)

    def below(self, n: int) -> int:
        """A number in `0..n`: the high 32 bits of the next word, scaled."""
        return ((self.next() >> 32) * n) >> 32


class Text(NamedTuple):
    """Literal text."""

    text: str


class Rule(NamedTuple):
    """A place for any alternative of the named rule."""

    name: str


class Slot(NamedTuple):
    """A place for one field of the row that the slot is bound to."""

    slot: int
    field: int
    capital: bool


class GrammarError(ValueError):
    """The grammar file breaks its own format."""


def capitalised(text: str) -> str:
    """`text` with its first letter in upper case."""
    return text[:1].upper() + text[1:]


class Grammar:
    """A checked grammar. Slots and tables are numbered in the order of the file."""

    def __init__(self, data: dict) -> None:
        if data.get("format") != FORMAT:
            raise GrammarError(f"format is {data.get('format')!r}, this program reads {FORMAT}")
        self.corpus = data["corpus"]
        self.start: str = data["start"]
        self.slot_names = list(data["slots"])
        self.tables: dict[str, dict] = data["tables"]
        self.slot_table = [data["slots"][name]["table"] for name in self.slot_names]
        self.slot_unlike = [
            [self.slot_names.index(other) for other in data["slots"][name].get("unlike", [])]
            for name in self.slot_names
        ]
        for name, table in self.tables.items():
            if any(len(row) != len(table["fields"]) for row in table["rows"]):
                raise GrammarError(f"table {name!r} has a row of another length than its fields")
        self.rules = {
            name: [self._parse(name, alternative) for alternative in alternatives]
            for name, alternatives in data["rules"].items()
        }
        self._check_references()

    @classmethod
    def load(cls, path: Path = GRAMMAR_PATH) -> Grammar:
        return cls(json.loads(Path(path).read_text(encoding="ascii")))

    def rows(self, slot: int) -> list[list[str]]:
        """The rows of the slot's table."""
        return self.tables[self.slot_table[slot]]["rows"]

    def free_rows(self, slot: int, bound: tuple[int, ...]) -> list[int]:
        """Rows that an unbound slot may take: those that no slot of its `unlike` list holds."""
        taken = {bound[other] for other in self.slot_unlike[slot]}
        return [row for row in range(len(self.rows(slot))) if row not in taken]

    def value(self, slot: Slot, row: int) -> str:
        text = self.rows(slot.slot)[row][slot.field]
        return capitalised(text) if slot.capital else text

    def unbound(self) -> tuple[int, ...]:
        """Bindings at the start of a story: -1 for every slot."""
        return (-1,) * len(self.slot_names)

    def _parse(self, rule: str, text: str) -> tuple[Text | Rule | Slot, ...]:
        items: list[Text | Rule | Slot] = []
        end = 0
        for match in PIECE.finditer(text):
            if match.start() != end:
                break
            end = match.end()
            name, slot, field, literal = match.groups()
            if name is not None:
                items.append(Rule(name))
            elif literal is not None:
                items.append(Text(literal))
            else:
                items.append(self._slot(rule, slot, field))
        if end != len(text):
            raise GrammarError(f"rule {rule!r}: cannot read {text[end:]!r}")
        return tuple(items)

    def _slot(self, rule: str, slot: str, field: str) -> Slot:
        if slot not in self.slot_names:
            raise GrammarError(f"rule {rule!r}: unknown slot {slot!r}")
        index = self.slot_names.index(slot)
        fields = self.tables[self.slot_table[index]]["fields"]
        plain = field.lower()
        if plain not in fields:
            raise GrammarError(f"rule {rule!r}: slot {slot!r} has no field {field!r} (known: {fields})")
        return Slot(index, fields.index(plain), field != plain)

    def _check_references(self) -> None:
        for slot, others in enumerate(self.slot_unlike):
            if any(self.slot_table[other] != self.slot_table[slot] for other in others):
                raise GrammarError(f"slot {self.slot_names[slot]!r} is unlike a slot of another table")
        used: set[str] = set()

        def visit(name: str, above: tuple[str, ...]) -> None:
            if name not in self.rules:
                raise GrammarError(f"unknown rule {name!r}")
            if name in above:
                raise GrammarError(f"rule {name!r} contains itself")
            if name not in used:
                for inner in {i.name for alt in self.rules[name] for i in alt if isinstance(i, Rule)}:
                    visit(inner, (*above, name))
                used.add(name)

        visit(self.start, ())
        if unused := set(self.rules) - used:
            raise GrammarError(f"rules never used: {sorted(unused)}")

    def tell(self, rng: SplitMix64) -> str:
        """One story. Draws once per alternative and once per binding, in the order of the text."""
        bound = list(self.unbound())
        out: list[str] = []

        def expand(name: str) -> None:
            alternatives = self.rules[name]
            for item in alternatives[rng.below(len(alternatives))]:
                if isinstance(item, Text):
                    out.append(item.text)
                elif isinstance(item, Rule):
                    expand(item.name)
                else:
                    if bound[item.slot] < 0:
                        free = self.free_rows(item.slot, tuple(bound))
                        bound[item.slot] = free[rng.below(len(free))]
                    out.append(self.value(item, bound[item.slot]))

        expand(self.start)
        return "".join(out)

    def stories(self, seed: int, count: int) -> Iterator[str]:
        """`count` stories from one stream of random numbers."""
        rng = SplitMix64(seed)
        for _ in range(count):
            yield self.tell(rng)


@dataclass(frozen=True)
class Verdict:
    """What the recogniser found: characters read before no derivation fits, and whether a story ends there."""

    read: int
    prefix: bool
    complete: bool


class Recogniser:
    """Follows every derivation that fits the text so far, one character at a time.

    A thread is `(stack, bound)`: `stack` is a linked list `(items, index, offset, parent)` of what is still to come
    (`offset` counts characters read of a literal), `bound` the row of each slot or -1. Equal threads are kept once, so
    the work per character is bounded by the grammar, not by the text.
    """

    def __init__(self, grammar: Grammar) -> None:
        self.grammar = grammar

    def check(self, text: str) -> Verdict:
        """Is `text` a prefix of a story, and is it a whole story?"""
        start = ((Rule(self.grammar.start),), 0, 0, None)
        threads, complete = self._ready([(start, self.grammar.unbound())])
        for position, char in enumerate(text):
            moved = [self._advance(thread) for thread in threads if self._char(thread) == char]
            if not moved:
                return Verdict(position, False, False)
            threads, complete = self._ready(moved)
        return Verdict(len(text), True, complete)

    def _char(self, thread) -> str:
        (items, index, offset, _), _ = thread
        return items[index].text[offset]

    def _advance(self, thread):
        (items, index, offset, parent), bound = thread
        if offset + 1 < len(items[index].text):
            return (items, index, offset + 1, parent), bound
        return (items, index + 1, 0, parent), bound

    def _ready(self, threads) -> tuple[list, bool]:
        """Expands rules and slots until every thread waits at a literal character; also tells whether one has ended."""
        grammar, waiting, seen, ended = self.grammar, [], set(), False
        todo = list(threads)
        while todo:
            stack, bound = todo.pop()
            while stack is not None and stack[1] == len(stack[0]):
                stack = stack[3]
            if stack is None:
                ended = True
                continue
            items, index, offset, parent = stack
            item = items[index]
            if isinstance(item, Text):
                if (stack, bound) not in seen:
                    seen.add((stack, bound))
                    waiting.append((stack, bound))
                continue
            after = (items, index + 1, 0, parent) if index + 1 < len(items) else parent
            if isinstance(item, Rule):
                todo += [((alt, 0, 0, after), bound) for alt in grammar.rules[item.name]]
                continue
            held = bound[item.slot]
            for row in [held] if held >= 0 else grammar.free_rows(item.slot, bound):
                now = bound if held >= 0 else bound[: item.slot] + (row,) + bound[item.slot + 1 :]
                todo.append((((Text(grammar.value(item, row)),), 0, 0, after), now))
        return waiting, ended


def main() -> None:
    parser = argparse.ArgumentParser(description="Tell stories, or recognise them line by line from standard input.")
    parser.add_argument("--grammar", type=Path, default=GRAMMAR_PATH)
    parser.add_argument("--seed", type=int, help="default: the seed of the training text")
    parser.add_argument("--stories", type=int, help="default: the length of the training text")
    parser.add_argument("--recognise", action="store_true", help="check each line of standard input instead")
    args = parser.parse_args()
    grammar = Grammar.load(args.grammar)
    if args.recognise:
        recogniser = Recogniser(grammar)
        for line in sys.stdin:
            text = line.rstrip("\n")
            verdict = recogniser.check(text)
            kind = "story" if verdict.complete else "prefix" if verdict.prefix else "rejected"
            print(kind if verdict.prefix else f"{kind} after {text[: verdict.read]!r}")
        return
    seed = grammar.corpus["seed"] if args.seed is None else args.seed
    count = grammar.corpus["stories"] if args.stories is None else args.stories
    for story in grammar.stories(seed, count):
        print(story)


if __name__ == "__main__":
    main()
