"""The detector's second view: the first layers of a pretrained sentence encoder, fine-tuned with one head for what is typed and one for
what tools return. Each word gets a logit, and the worst words decide. Weights are rounded to what ships while it learns; word vectors and the first
layers stay as they are."""

import argparse
import collections
import copy
import dataclasses
import math
import pathlib

import numpy as np
import torch
import torch.nn.functional as functional
from safetensors.torch import load_file
from torch import nn

import dataset
import judge
import lists
import mixtures
import pieces

LAYERS, HEADS, WIDTH = 5, 12, 384
# Layers that stay as they were: what they know of the words of the world is what the encoder is taken for.
FIXED = 2
KEPT_BACK = 0.1  # dropout
TOKENS = 2048  # At once.
MOST_COMPANY = 5  # Windows beside one that is learnt from.
MORE = 3.0
# Nearly all outputs that others collected are harmless documents: counted whole, they hide the harmless halves of the pairs of our own.
LISTED_OUTPUTS = 0.3
ROLES = ("user", "tool")
FOREIGN = ("generated-languages", "written-european", "written-world", "written-small_european", "written-small_world", "written-mixed", "written-hard_tongues", "PlexPt/awesome-chatgpt-prompts-zh", "shisa-ai/M-IFEval")
# Halves where the processor multiplies them; elsewhere they take sixty times as long.
NUMBER = torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32


def four_bits(values: torch.Tensor) -> torch.Tensor:
    """Rounded to Q4_0 of ggml and back."""
    blocks = values.reshape(-1, 32)
    low, high = blocks.aminmax(dim=1, keepdim=True)
    most = torch.where(-low > high, low, high)
    step = (most / -8).half().float()
    codes = torch.where(step != 0, (blocks / step + 8.5).floor(), torch.full_like(blocks, 8)).clamp(0, 15)
    return ((codes - 8) * step).reshape(values.shape)


@dataclasses.dataclass(frozen=True)
class Course:
    """Of learning: how fast, how often so many windows are drawn, how much windows of our own tables count when they are, the seed of it all, which sets
    count `times` as much, because they are few texts of a kind that nothing else is like, how often a window gets another one beside it, and how much what an encoder of
    before says counts beside the labels."""

    rate: float
    epochs: float
    size: int
    tables: float
    seed: int
    more: tuple[str, ...] = ()
    company: float = 0.35
    held: float = 0.0
    times: float = MORE


NOISE = ("generated-noise",)
HARD = (*NOISE, *(f"written-hard_{name}" for name in ("direct", "foreign", "outputs", "roles", "security")))
HARDER = (*NOISE, *(f"written-hard_{name}" for name in ("briefs", "pasted", "requests")))
# What no fold judges is learnt once, as `common`; each fold goes on from there with four fifths of the rest. What ships learns from all of it, and longer.
# All of it in stages, and what counts is the mean of the weights after each: a later one brings what those before got wrong, and forgets part of the rest.
STAGES = {
    "common": ((Course(2e-4, 1.5, 18_000, 0.5, 0), Course(1.5e-4, 1.5, 18_000, 0.35, 1), Course(1.5e-4, 1, 20_000, 0.35, 3), Course(1.2e-4, 1, 15_000, 0.35, 4, NOISE)),
               (Course(1.5e-4, 1, 30_000, 0.35, 8), Course(1.2e-4, 1, 20_000, 0.35, 9, HARD))),
    "fold": ((Course(1.2e-4, 1, 14_000, 0.35, 2, NOISE),), (Course(1.2e-4, 1, 14_000, 0.35, 2, HARD),)),
    "all": ((Course(2e-4, 2.5, 18_000, 1.0, 0), Course(1.2e-4, 3, 20_000, 0.35, 1), Course(1.5e-4, 4, 20_000, 0.35, 3), Course(1e-4, 1, 14_000, 0.35, 5, NOISE),
             Course(1.5e-4, 1, 90_000, 0.35, 6), Course(8e-5, 1, 18_000, 0.35, 7, NOISE)),
            (Course(1.5e-4, 1, 40_000, 0.35, 10, HARD), Course(8e-5, 1, 16_000, 0.35, 11, HARD)),
            (Course(1.2e-4, 1, 40_000, 0.35, 13, HARDER),)),
}


class Drop(nn.Module):
    """Dropout with masks cut out of one long row of chances, which costs a tenth of drawing them."""

    chances: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        if Drop.chances is None:
            Drop.chances = (torch.rand(1 << 23) >= KEPT_BACK).to(x.dtype) / (1 - KEPT_BACK)
        first = int(torch.randint(0, Drop.chances.numel() - x.numel(), (1,)))
        return x * Drop.chances[first:first + x.numel()].view(x.shape)


class Rounded(nn.Linear):
    """A product with weights of four bits. Learning goes on as if they were not rounded (Bengio et al. 2013, "straight through")."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        exact = self.weight
        return functional.linear(x, exact + (four_bits(exact.detach()) - exact).detach() if exact.requires_grad else exact, self.bias)

    def fix(self) -> None:
        """Rounds for good."""
        self.weight.data = four_bits(self.weight.data)


class Layer(nn.Module):
    """A layer of BERT, `[batch, tokens, WIDTH]` to the same."""

    def __init__(self, weights: dict, prefix: str):
        super().__init__()
        names = ("attention.self.query", "attention.self.key", "attention.self.value")
        joined = {end: torch.cat([weights[f"{prefix}{name}.{end}"] for name in names]) for end in ("weight", "bias")}
        self.qkv = self._filled(Rounded(WIDTH, 3 * WIDTH), joined)
        of = lambda module, name: self._filled(module, {end: weights[f"{prefix}{name}.{end}"] for end in ("weight", "bias")})
        self.out = of(Rounded(WIDTH, WIDTH), "attention.output.dense")
        self.up = of(Rounded(WIDTH, 4 * WIDTH), "intermediate.dense")
        self.down = of(Rounded(4 * WIDTH, WIDTH), "output.dense")
        self.attention_norm = of(nn.LayerNorm(WIDTH, eps=1e-12), "attention.output.LayerNorm")
        self.norm = of(nn.LayerNorm(WIDTH, eps=1e-12), "output.LayerNorm")
        self.drop = Drop()

    def fix(self) -> None:
        """Rounds what it multiplies with, for good."""
        for product in (self.qkv, self.out, self.up, self.down):
            product.fix()

    @staticmethod
    def _filled(module: nn.Module, values: dict) -> nn.Module:
        for name, value in values.items():
            getattr(module, name).data.copy_(value)
        return module

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        batch, tokens, _ = x.shape
        split = self.qkv(x).view(batch, tokens, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        query, key, value = (part.reshape(batch * HEADS, tokens, -1) for part in split)
        spread = mask.expand(batch, HEADS, tokens, tokens).reshape(batch * HEADS, tokens, tokens)
        share = torch.softmax(torch.baddbmm(spread, query, key.transpose(1, 2), alpha=(WIDTH // HEADS) ** -0.5), -1)
        seen = torch.bmm(share.to(value.dtype), value).view(batch, HEADS, tokens, -1).transpose(1, 2).reshape(x.shape)
        x = self.attention_norm(x + self.drop(self.out(seen))).to(x.dtype)
        return self.norm(x + self.drop(self.down(functional.gelu(self.up(x))))).to(x.dtype)


class Encoder(nn.Module):
    """Windows to one logit per head, `[batch, 2]` in the order of ROLES."""

    def __init__(self, weights: dict[str, torch.Tensor], kept: list[int]):
        super().__init__()
        self.register_buffer("words", four_bits(weights["embeddings.word_embeddings.weight"][kept]))
        self.listed = len(kept)
        self.register_buffer("places", weights["embeddings.position_embeddings.weight"][:pieces.POSITIONS] + weights["embeddings.token_type_embeddings.weight"][0])
        self.norm = Layer._filled(nn.LayerNorm(WIDTH, eps=1e-12), {end: weights[f"embeddings.LayerNorm.{end}"] for end in ("weight", "bias")})
        self.layers = nn.ModuleList([Layer(weights, f"encoder.layer.{i}.") for i in range(LAYERS)])
        self.head = nn.Linear(WIDTH, len(ROLES))
        nn.init.normal_(self.head.weight, 0, 0.02)
        nn.init.zeros_(self.head.bias)
        self.drop, self.number = Drop(), NUMBER
        for fixed in (self.norm, *self.layers[:FIXED]):
            fixed.requires_grad_(False)
        for layer in self.layers[:FIXED]:
            layer.fix()

    def grow(self, kept: list[int], mixed: mixtures.Mixtures) -> None:
        """Of the words that it has been given those of these ids stay; behind them come pieces that are mixtures of these."""
        own = self.words[:self.listed][kept]
        self.listed, self.words = len(kept), torch.cat([own, four_bits(mixed.vectors(own))])

    def read(self, ids: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the last layer makes of each token, `[batch, tokens, WIDTH]`, and which are there."""
        tokens = ids.shape[1]
        live = torch.arange(tokens)[None] < lengths[:, None]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.number == torch.bfloat16):
            mask = torch.zeros(len(ids), 1, 1, tokens, dtype=self.number).masked_fill(~live[:, None, None], -1e4)
            with torch.no_grad():
                x = self.drop(self.norm(self.words[ids] + self.places[:tokens]).to(self.number))
                for layer in self.layers[:FIXED]:
                    x = layer(x, mask)
            for layer in self.layers[FIXED:]:
                x = layer(x, mask)
        return x.float(), live

    def forward(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        x, live = self.read(ids, lengths)
        return worst(self.head(functional.dropout(x, KEPT_BACK, self.training)), live)


def pretrained(folder: pathlib.Path) -> dict[str, torch.Tensor]:
    """The weights of a folder by their names in BERT."""
    return {name.removeprefix("bert."): value.float() for name, value in load_file(folder / "model.safetensors").items() if value.is_floating_point()}


def worst(each: torch.Tensor, live: torch.Tensor) -> torch.Tensor:
    """Of the logits of all tokens, `[batch, tokens, 2]`, the mean weighted by their softmax: nearly the highest, but one that all tokens learn from."""
    each = each.masked_fill(~live[..., None], -1e4)
    return (torch.softmax(each, 1) * each).sum(1)


def batches(windows: pieces.Windows, chosen: np.ndarray, tokens: int) -> list[np.ndarray]:
    """Windows of like length together, at most so many tokens at once."""
    lengths, out, first = windows.lengths, [], 0
    chosen = chosen[np.argsort(lengths[chosen], kind="stable")]
    while first < len(chosen):
        last = first + 1
        while last < len(chosen) and lengths[chosen[last]] * (last + 1 - first) <= tokens:
            last += 1
        out.append(chosen[first:last])
        first = last
    return out


def padded(windows: pieces.Windows, chosen: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = windows.lengths[chosen]
    out = np.zeros((len(chosen), lengths.max()), dtype=np.int64)
    for i, window in enumerate(chosen):
        out[i, 0], out[i, lengths[i] - 1] = pieces.CLS, pieces.SEP
        out[i, 1:lengths[i] - 1] = windows.pieces(window)
    return torch.from_numpy(out), torch.from_numpy(lengths)


def chances(rows: list[dict], windows: pieces.Windows, keep: np.ndarray, tables: float = 1.0, more: tuple[str, ...] = (), times: float = MORE) -> np.ndarray:
    """How likely a window is drawn: sets count by the root of their size, our own tables of typed text by `tables` of that, outputs that others collected by
    LISTED_OUTPUTS and sets of `more` by `times`, both labels alike, typed text more than outputs of tools."""
    kinds = [(row["source"], row["label"], row["role"]) for row in rows]
    sizes = collections.Counter(kind for kind, k in zip(kinds, keep) if k)

    def factor(source: str, _label: int, role: str) -> float:
        if source in more:
            return times
        if role == "tool":
            return LISTED_OUTPUTS if source in lists.RULES else 1.0
        return tables if source.startswith("generated") else 1.0

    per_row = np.array([factor(*kind) * sizes[kind] ** -0.5 if k else 0.0 for kind, k in zip(kinds, keep)])
    out = per_row[windows.row] / np.bincount(windows.row, minlength=len(rows))[windows.row] ** 0.7
    attack, tool = attacks(rows, windows), fetched(rows, windows)
    for of_tool in (False, True):
        for label in (False, True):
            part = (tool == of_tool) & (attack == label)
            out[part] *= (0.7 if of_tool else 1.0) / max(out[part].sum(), 1e-9)
    return out / out.sum()


def attacks(rows: list[dict], windows: pieces.Windows) -> np.ndarray:
    return np.array([row["label"] for row in rows]).astype(bool)[windows.row] & windows.touched


def foreign(rows: list[dict], windows: pieces.Windows) -> np.ndarray:
    """Windows of harmless typed text in other languages than English."""
    return np.array([not row["label"] and row["source"] in FOREIGN for row in rows])[windows.row]


def fetched(rows: list[dict], windows: pieces.Windows) -> np.ndarray:
    return np.array([row["role"] == "tool" for row in rows])[windows.row]


@dataclasses.dataclass
class Lessons:
    """Windows with what each is: an attack, of a tool, harmless typed text in another language."""

    windows: pieces.Windows
    attack: np.ndarray
    tool: np.ndarray
    foreign: np.ndarray

    def joined(self, drawn: np.ndarray, rng: np.random.Generator, company: float) -> "Lessons":
        """The drawn windows, part of them with harmless ones of the same role before or after them, so that an attack is one in any company."""
        of_role = [drawn[~self.attack[drawn] & (self.tool[drawn] == tool)] for tool in (False, True)]
        cut, foreign = [], self.foreign[drawn]
        for i, window in enumerate(drawn):
            parts = [self.windows.pieces(window)]
            for _ in range(MOST_COMPANY):
                others = of_role[int(self.tool[window])]
                if not len(others) or rng.random() >= company:
                    break
                other = rng.choice(others)
                beside = self.windows.pieces(other)
                if sum(map(len, parts)) + len(beside) > pieces.MOST[ROLES[int(self.tool[window])]]:
                    break
                parts.insert(rng.integers(2) * len(parts), beside)
                foreign[i] &= self.foreign[other]
            cut.append(np.concatenate(parts))
        ends = np.cumsum([len(part) for part in cut])
        starts = np.concatenate(([0], ends[:-1]))
        return Lessons(pieces.Windows(np.concatenate(cut), starts, ends, self.windows.row[drawn], self.windows.touched[drawn]), self.attack[drawn], self.tool[drawn], foreign)


def train(model: Encoder, rows: list[dict], windows: pieces.Windows, keep: np.ndarray, course: Course, steps: int | None = None, before: Encoder | None = None) -> None:
    """Fine-tunes on windows of the rows to keep, drawn by `chances`. What is typed as an attack counts as one for the head of tools too;
    what is typed and harmless says nothing there, for a tool that asks for something is what that head looks for, unless it is in another language: nearly
    all outputs are English, and attacks are not. An encoder of `before` holds it to its own logits on all but the sets of `course.more`."""
    rng, plan, Drop.chances = np.random.default_rng(course.seed), [], None
    chance, lessons = chances(rows, windows, keep, course.tables, course.more, course.times), Lessons(windows, attacks(rows, windows), fetched(rows, windows), foreign(rows, windows))
    for epoch in range(math.ceil(course.epochs)):
        drawn = rng.choice(len(chance), int(course.size * min(1, course.epochs - epoch)), p=chance)
        now = lessons.joined(drawn, rng, course.company)
        found = batches(now.windows, np.arange(len(drawn)), TOKENS)
        plan += [(now, found[i]) for i in rng.permutation(len(found))]
    learnt = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    groups = [([v for n, v in learnt if v.ndim > 1 and "head" not in n], 0.05, 1), ([v for _, v in learnt if v.ndim < 2], 0.0, 1), ([model.head.weight], 0.01, 5)]
    optimizer = torch.optim.AdamW([{"params": values, "weight_decay": decay, "lr": course.rate * times} for values, decay, times in groups], betas=(0.9, 0.98), fused=True)
    rates = [group["lr"] for group in optimizer.param_groups]
    known = torch.tensor([row["source"] not in course.more for row in rows])
    model.train()
    for step, (now, chosen) in enumerate(plan[:steps]):
        share = min(1, (step + 1) / (0.08 * len(plan))) * max(0.02, 1 - step / len(plan))
        for group, rate in zip(optimizer.param_groups, rates):
            group["lr"] = rate * share
        read, tool = padded(now.windows, chosen), torch.from_numpy(now.tool[chosen])
        logits = model(*read)
        loss = losses(logits, *(torch.from_numpy(part[chosen]) for part in (now.attack, now.tool, now.attack | now.foreign)))
        if before is not None:
            with torch.no_grad():
                earlier = before(*read)
            loss = loss + course.held * held(logits, earlier, known[now.windows.row[chosen]], tool)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([value for _, value in learnt], 1.0)
        optimizer.step()
        if step % 50 == 0:
            print(f"  step {step} of {len(plan)}, loss {loss.item():.3f}", flush=True)


def losses(logits: torch.Tensor, attack: torch.Tensor, tool: torch.Tensor, both: torch.Tensor) -> torch.Tensor:
    """`both` are the typed texts that the head of tools learns from too, at half the weight."""
    each = [functional.binary_cross_entropy_with_logits(logits[:, i], attack.float(), reduction="none") for i in range(len(ROLES))]
    of_tool = torch.where(tool, 1.0, 0.5 * both)
    return (each[0] * (~tool) + each[1] * of_tool).sum() / len(attack)


def held(logits: torch.Tensor, before: torch.Tensor, known: torch.Tensor, tool: torch.Tensor) -> torch.Tensor:
    """What an encoder has changed of the probabilities of before ("learning without forgetting", Li and Hoiem 2016), in windows that were known, for the head of
    their role and half as much for the other one."""
    each = functional.binary_cross_entropy_with_logits(logits, torch.sigmoid(before), reduction="none")
    counts = torch.stack([torch.where(tool, 0.5, 1.0), torch.where(tool, 1.0, 0.5)], 1)
    return (each * counts * known[:, None]).sum() / len(logits)


def train_in_turns(model: Encoder, rows: list[dict], windows: pieces.Windows, turns: tuple[tuple[Course, ...], ...], steps: int | None) -> None:
    """The courses of a turn go on from the same weights, and are held to what these say; the next turn goes on from their mean. What counts is the mean of all courses."""
    every, keep = [], np.ones(len(rows), dtype=bool)
    for courses in turns:
        before, after = copy.deepcopy(model).eval(), []
        for course in courses:
            model.load_state_dict(before.state_dict())
            torch.manual_seed(course.seed)
            train(model, rows, windows, keep, course, steps, before)
            after.append({key: value.clone() for key, value in model.state_dict().items()})
        model.load_state_dict(mean(after))
        every += after
    model.load_state_dict(mean(every))


def mean(states: list[dict]) -> dict:
    """The mean of the weights of encoders that began alike (Izmailov et al. 2018)."""
    return {key: sum(state[key] for state in states) / len(states) for key in states[0]}


def scores(model: Encoder, windows: pieces.Windows) -> np.ndarray:
    """The highest logit of the windows of each row, `[rows, 2]`."""
    out = np.full((windows.row.max() + 1, len(ROLES)), -np.inf)
    model.eval()
    with torch.no_grad():
        for part in batches(windows, np.arange(len(windows.row)), 8192):
            np.maximum.at(out, windows.row[part], model(*padded(windows, part)).numpy())
    return out


def parts(names: list[str], rows: list[dict]) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """What is to be trained, by its name: which rows are judged, and which are learnt from."""
    whole = np.ones(len(rows), dtype=bool)
    folds = {str(i): judge.parted(rows, fold) for i, fold in enumerate(judge.FOLDS) if "common" in names or str(i) in names}
    judged = np.any([test for test, _ in folds.values()], axis=0) if folds else ~whole
    near = ~np.all([keep for _, keep in folds.values()], axis=0) if folds else ~whole
    known = folds | {"all": (~whole, whole), "common": (~whole, ~judged & ~near)}
    return [(name, *known[name]) for name in names]


def main() -> None:
    names = ["common", *(str(fold) for fold in range(len(judge.FOLDS))), "all"]
    arguments = argparse.ArgumentParser(description="Trains on what no fold judges; from there, for each fold, on all rows but those of the fold and their near-duplicates, and scores the fold; then on all.")
    arguments.add_argument("--rows", type=pathlib.Path, required=True)
    arguments.add_argument("--pretrained", type=pathlib.Path, required=True, help="folder with model.safetensors and tokenizer.json of all-MiniLM-L6-v2")
    arguments.add_argument("--part", nargs="+", choices=names, default=names, help="only these: folds, by number, go on from 'common', which has to be there; 'all' is what ships")
    arguments.add_argument("--steps", type=int, help="stop each course after so many steps, to see that it runs")
    arguments.add_argument("--output", type=pathlib.Path, required=True)
    given = arguments.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    rows = dataset.load(given.rows)
    tokenizer, kept = pieces.pruned(given.pretrained, rows)
    windows = pieces.windows(rows, tokenizer)
    torch.set_num_threads(1)
    for name, test, keep in parts(given.part, rows):
        model, after = Encoder(pretrained(given.pretrained), kept), []
        for stage, courses in enumerate(STAGES["fold" if test.any() else name]):
            if test.any():
                model.load_state_dict(torch.load(given.output / f"common-{stage}.pt"))
            for course in courses:
                torch.manual_seed(course.seed)
                train(model, rows, windows, keep, course, given.steps)
            after.append({key: value.clone() for key, value in model.state_dict().items()})
            if name == "common":
                torch.save(after[-1], given.output / f"common-{stage}.pt")
        if name == "common":
            continue
        model.load_state_dict(mean(after))
        if name == "all":
            torch.save(model.state_dict(), given.output / "encoder.pt")
            continue
        out = np.full((len(rows), len(ROLES)), np.nan)
        out[test] = scores(model, pieces.windows([row for row, t in zip(rows, test) if t], tokenizer))
        np.save(given.output / f"fold-{name}.npy", out)


if __name__ == "__main__":
    main()
