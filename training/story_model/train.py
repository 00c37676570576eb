"""Trains the tokenizer and the model on the text of the grammar and writes a checkpoint.

One story is one row: BOS, the story, EOS, so positions in training and in use agree. Rows of like length share a batch.

What a story has named once, it must name again the same way. Left alone, a model of this size learns that late, because
a name is one of two hundred tokens to look at. So the first head of each group in one layer is guided: where the next
token is a word from the grammar's tables that the story holds already, its attention is pulled towards that word. The
pull fades with the learning rate, and nothing of it is left in the model file.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from grammar import GRAMMAR_PATH, Grammar
from model import Shape, StoryModel
from tokenizer import BOS_ID, EOS_ID, Tokenizer

IGNORE = -100
HELD_OUT_SEED_STEP = 1000  # the held-out stories come from the seed of the training text plus this


def batches(rows: list[np.ndarray], size: int, rng: np.random.Generator) -> list[list[np.ndarray]]:
    """One epoch: rows in random order, sorted by length within windows of 32 batches, batches shuffled."""
    order = rng.permutation(len(rows))
    out = []
    for at in range(0, len(order), size * 32):
        window = sorted(order[at : at + size * 32], key=lambda i: len(rows[i]))
        out += [[rows[i] for i in window[j : j + size]] for j in range(0, len(window), size)]
    return [out[i] for i in rng.permutation(len(out))]


def tensors(batch: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets `[batch, longest - 1]`, padded."""
    longest = max(len(row) for row in batch)
    ids = np.full((len(batch), longest), IGNORE, dtype=np.int64)
    for i, row in enumerate(batch):
        ids[i, : len(row)] = row
    whole = torch.from_numpy(ids)
    return whole[:, :-1].clamp(min=0), whole[:, 1:]


def guided_tokens(grammar: Grammar, tokenizer: Tokenizer) -> torch.Tensor:
    """`[vocab]`, true for the first token of each table entry of one word: names, animals, colours, pronouns."""
    guided = torch.zeros(len(tokenizer), dtype=torch.bool)
    for table in grammar.tables.values():
        for text in {text for row in table["rows"] for text in row if " " not in text}:
            guided[tokenizer.encode(text)[0]] = True
    return guided


def losses(model: StoryModel, batch: list[np.ndarray], guided: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross entropy in nats per token, and minus the mean log of the attention that guided places pay their word."""
    ids, targets = tensors(batch)
    logits, attention = model(ids)
    loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORE)
    same = (ids[:, None, :] == targets[:, :, None]).tril()
    use = same.any(-1) & guided[targets.clamp(min=0)]
    mass = (attention * same[:, None]).sum(-1).transpose(1, 2)[use]
    return loss, -(mass + 1e-6).log().mean()


def schedule(done: float, warmup: float) -> float:
    """Share of the peak learning rate: linear warm-up, then cosine to a hundredth; arguments are shares of the run."""
    if done < warmup:
        return done / warmup
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))


def optimisers(model: StoryModel, args: argparse.Namespace) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the matrices of the layers, AdamW (Loshchilov and Hutter 2019) for the rest."""
    matrices = [p for p in model.blk.parameters() if p.dim() == 2]
    norms = [p for p in model.parameters() if p.dim() == 1]
    embedding = [model.token_embd.weight]
    groups = [{"params": embedding, "weight_decay": args.decay}, {"params": norms, "weight_decay": 0.0}]
    return [
        torch.optim.Muon(matrices, lr=args.muon_rate, momentum=0.95, weight_decay=args.decay),
        torch.optim.AdamW(groups, lr=args.adam_rate, betas=(0.9, 0.98), eps=1e-9),
    ]


def held_out_loss(model: StoryModel, rows: list[np.ndarray], guided: torch.Tensor) -> float:
    with torch.no_grad():
        return float(np.mean([losses(model, rows[i : i + 50], guided)[0].item() for i in range(0, len(rows), 50)]))


@dataclass(frozen=True)
class Corpus:
    """Token rows to train on and to measure on, and which tokens are guided."""

    rows: list[np.ndarray]
    held_out: list[np.ndarray]
    guided: torch.Tensor


def train(model: StoryModel, corpus: Corpus, args: argparse.Namespace, log) -> None:
    rows = corpus.rows
    rng = np.random.default_rng(args.seed)
    optimise = optimisers(model, args)
    for optimiser in optimise:
        for group in optimiser.param_groups:
            group["peak"] = group["lr"]
    per_epoch = math.ceil(len(rows) / args.batch)
    total = round(args.epochs * per_epoch)
    step, seen, recent, started = 0, 0, [], time.monotonic()
    log(f"steps {total}, stories {len(rows)}, tokens per epoch {sum(map(len, rows))}")
    log("step\ttokens\tloss\tguide\theld_out\trate\tseconds")
    while step < total:
        for batch in batches(rows, args.batch, rng):
            rate = schedule((step + 1) / total, args.warmup)
            with torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bf16"):
                loss, guide = losses(model, batch, corpus.guided)
            model.zero_grad(set_to_none=True)
            (loss + args.guide * rate * guide).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimiser in optimise:
                for group in optimiser.param_groups:
                    group["lr"] = rate * group["peak"]
                optimiser.step()
            step, seen = step + 1, seen + sum(map(len, batch))
            recent.append((loss.item(), guide.item()))
            if step % args.log_every == 0 or step == total:
                held = held_out_loss(model, corpus.held_out, corpus.guided)
                mean, guide_mean = np.mean(recent, axis=0)
                seconds = time.monotonic() - started
                log(f"{step}\t{seen}\t{mean:.4f}\t{guide_mean:.4f}\t{held:.4f}\t{rate:.3f}\t{seconds:.0f}")
                recent = []
            if step == total:
                break


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grammar", type=Path, default=GRAMMAR_PATH)
    parser.add_argument("--output", type=Path, required=True, help="checkpoint to write")
    parser.add_argument("--resume", type=Path, help="checkpoint to start from; its tokenizer is kept")
    parser.add_argument("--log", type=Path, required=True, help="loss curve to write, as text")
    parser.add_argument("--vocab", type=int, default=1280)
    parser.add_argument("--epochs", type=float, default=2.5)
    parser.add_argument("--batch", type=int, default=8, help="stories per step")
    parser.add_argument("--muon-rate", type=float, default=0.02, help="highest learning rate of the matrices")
    parser.add_argument("--adam-rate", type=float, default=4e-3, help="highest learning rate of the rest")
    parser.add_argument("--decay", type=float, default=0.02, help="weight decay")
    parser.add_argument("--guide", type=float, default=0.2, help="weight of the guided attention at the peak")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="bf16", help="of the matrix products")
    parser.add_argument("--warmup", type=float, default=0.03, help="share of the steps")
    parser.add_argument("--seed", type=int, default=1, help="of the first weights and the order of the stories")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--log-every", type=int, default=100)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)

    grammar = Grammar.load(args.grammar)
    text = list(grammar.stories(grammar.corpus["seed"], grammar.corpus["stories"]))
    resumed = torch.load(args.resume, weights_only=True) if args.resume else None
    tokenizer = Tokenizer(**resumed["tokenizer"]) if resumed else Tokenizer.train(text, args.vocab)

    def row(story: str) -> np.ndarray:
        return np.array([BOS_ID, *tokenizer.encode(story), EOS_ID])

    rows = [row(story) for story in text]
    held_out = [row(story) for story in grammar.stories(grammar.corpus["seed"] + HELD_OUT_SEED_STEP, 200)]
    corpus = Corpus(rows, held_out, guided_tokens(grammar, tokenizer))
    shape = Shape(vocab=len(tokenizer))
    model = StoryModel(shape)
    if resumed:
        model.load_state_dict(resumed["weights"])
    with args.log.open("w", encoding="ascii") as file:

        def log(line: str) -> None:
            print(line, flush=True)
            print(line, file=file, flush=True)

        parameters = sum(p.numel() for p in model.parameters())
        log(f"parameters {parameters}, vocab {shape.vocab}, longest story {max(map(len, rows))} tokens")
        train(model, corpus, args, log)
    vocabulary = {"pieces": tokenizer.pieces, "scores": tokenizer.scores, "types": tokenizer.types}
    torch.save({"shape": asdict(shape), "tokenizer": vocabulary, "weights": model.state_dict()}, args.output)


if __name__ == "__main__":
    main()
