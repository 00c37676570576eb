"""Sentences from tables: `{name}` in a string stands for one entry of the table `name`, chosen by chance, and so on inside.
Also what a keyboard does to text: typing errors, capitals, spacing. All text that comes out of here was written for torchless."""

import random
import re

SLOT = re.compile(r"\{([a-z_0-9]+)\}")


class Grammar:
    """Tables of strings with slots."""

    def __init__(self, *tables: dict):
        self.tables = {name: entries for table in tables for name, entries in table.items()}

    def expand(self, rng: random.Random, text: str) -> str:
        """Fills every slot of `text`."""
        while True:
            filled = SLOT.sub(lambda m: rng.choice(self.tables[m.group(1)]), text)
            if filled == text:
                return tidy(filled)
            text = filled

    def several(self, rng: random.Random, table: str, count: int) -> list[str]:
        """`count` different entries of a table, filled."""
        entries = self.tables[table]
        return [self.expand(rng, entry) for entry in rng.sample(entries, min(count, len(entries)))]

    def unique(self, rng: random.Random, table: str, count: int) -> list[str]:
        """Up to `count` different texts that start from a table; fewer where the tables hold no more."""
        seen: dict[str, None] = {}
        for _ in range(count * 4):
            seen.setdefault(self.expand(rng, "{" + table + "}"))
            if len(seen) == count:
                break
        return list(seen)


def tidy(text: str) -> str:
    """Articles and spaces as one writes them."""
    text = re.sub(r"\b([Aa]) (?=[aeiouAEIOU][a-z])(?!uni|use|one|eur)", r"\1n ", text)
    return re.sub(r" +([,.;:?!])", r"\1", text).strip()


def sentence(text: str) -> str:
    """With a capital in front."""
    return text[:1].upper() + text[1:]


def typed(rng: random.Random, text: str) -> str:
    """As people type: mostly as it was, sometimes in capitals, without them, with slips or other spacing."""
    draw = rng.random()
    if draw < 0.66:
        return text
    if draw < 0.74:
        return text.lower()
    if draw < 0.79:
        return text.upper()
    if draw < 0.87:
        return slips(rng, text, 0.02)
    if draw < 0.90:
        return text.rstrip(".!?") + rng.choice(["", "!!", "...", " :)", "??", " pls", " please", " thanks"])
    if draw < 0.94:
        return text.replace(". ", ".\n").replace("? ", "?\n\n")
    if draw < 0.97:
        return rng.choice(["hey, ", "Hi! ", "ok so ", "Hello, ", "quick one: ", "um ", "Question: "]) + text
    return text.replace(" ", "  ")


def slips(rng: random.Random, text: str, rate: float) -> str:
    """Letters dropped, doubled or swapped at this rate."""
    out, i = [], 0
    while i < len(text):
        if text[i].isalpha() and rng.random() < rate:
            kind = rng.randrange(3)
            if kind == 1:
                out.append(text[i] * 2)
            elif kind == 2 and i + 1 < len(text):
                out.append(text[i + 1] + text[i])
                i += 1
        else:
            out.append(text[i])
        i += 1
    return "".join(out)
