#!/usr/bin/env python3
"""Makes a classifier of random weights with its tokenizer, for tests and benches of the engine on libtorch.

    python3 scripts/libtorch_model.py FOLDER

writes `config.json`, `model.safetensors` and `tokenizer.json` in the form of Prompt Guard, small, with its three labels. scripts/export_to_jit.py makes
`promptguard.pt` of them. Needs torch, transformers and tokenizers.
"""

import sys
from pathlib import Path

LETTERS = [chr(c) for c in range(33, 127)]


def tokenizer():
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

    vocab = {word: i for i, word in enumerate(["[PAD]", "[CLS]", "[SEP]", "[UNK]", *LETTERS])}
    made = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    # Each character is a token, so that any text makes a sequence of some length.
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex("."), "isolated")]
    )
    made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 1), ("[SEP]", 2)])
    made.add_special_tokens(["[PAD]", "[CLS]", "[SEP]", "[UNK]"])
    return made


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    import torch
    from transformers import DebertaV2Config, DebertaV2ForSequenceClassification

    torch.manual_seed(1)
    config = DebertaV2Config(
        vocab_size=4 + len(LETTERS), hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128,
        max_position_embeddings=512, type_vocab_size=0, relative_attention=True, position_buckets=64, pad_token_id=0,
        norm_rel_ebd="layer_norm", share_att_key=True, pos_att_type=["p2c", "c2p"], position_biased_input=False,
        layer_norm_eps=1e-7, initializer_range=0.3, num_labels=3,
    )
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    DebertaV2ForSequenceClassification(config).eval().save_pretrained(folder)
    tokenizer().save(str(folder / "tokenizer.json"))


if __name__ == "__main__":
    main()
