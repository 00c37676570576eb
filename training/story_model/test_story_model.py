"""Tests of the generator, the recogniser, the tokenizer and the Q8_0 writer. Run: `python -m unittest`."""

import re
import unittest

import numpy as np

from export_gguf import quantise_q8_0
from gguf_forward import Q8_0, choose, tensor
from grammar import Grammar, GrammarError, Recogniser, SplitMix64
from tokenizer import FIRST_BYTE_ID, Tokenizer, escape

GRAMMAR = Grammar.load()
RECOGNISER = Recogniser(GRAMMAR)
STORIES = list(GRAMMAR.stories(2026, 60))

TINY = {
    "format": 1,
    "corpus": {"seed": 1, "stories": 1},
    "start": "s",
    "tables": {
        "child": {"fields": ["name", "they"], "rows": [["Ann", "she"], ["Anna", "she"], ["Bo", "he"]]},
        "pet": {"fields": ["noun"], "rows": [["cat"], ["cow"]]},
    },
    "slots": {
        "hero": {"table": "child"},
        "pet": {"table": "pet"},
        "other": {"table": "pet", "unlike": ["pet"]},
    },
    "rules": {
        "s": ["{hero.name} <has> a {pet.noun}. {hero.They} likes the {pet.noun}, not the {other.noun}."],
        "has": ["has", "had", "has had"],
    },
}


class RandomNumbers(unittest.TestCase):
    def test_splitmix64_gives_the_published_words(self):
        rng = SplitMix64(1234567)
        self.assertEqual([rng.next() for _ in range(2)], [6457827717110365317, 3203168211198807973])


class TinyGrammar(unittest.TestCase):
    def setUp(self):
        self.recogniser = Recogniser(Grammar(TINY))

    def check(self, text, prefix, complete=False, read=None):
        verdict = self.recogniser.check(text)
        self.assertEqual((verdict.prefix, verdict.complete), (prefix, complete), text)
        if read is not None:
            self.assertEqual(verdict.read, read, text)

    def test_whole_story(self):
        self.check("Anna has had a cat. She likes the cat, not the cow.", True, complete=True)

    def test_prefix_may_end_anywhere(self):
        whole = "Bo has had a cow. He likes the cow, not the cat."
        for end in range(len(whole)):
            self.check(whole[:end], True)

    def test_a_name_that_begins_another_stays_open(self):
        self.check("Ann", True)
        self.check("Ann had a cow. She", True)

    def test_rejections_say_where(self):
        self.check("Bo had a cow. She", False, read=14)
        self.check("Bo had a cow. He likes the cat", False, read=28)
        self.check("Bo had a cow. He likes the cow, not the cow", False, read=41)
        self.check("Bob", False, read=2)
        self.check("Bo had a cow. He likes the cow, not the cat. ", False, read=44)

    def test_broken_grammars_are_refused(self):
        for rules in (
            {"s": ["{hero.age}"]},
            {"s": ["{dog.noun}"]},
            {"s": ["<t>"]},
            {"s": ["a < b"]},
            {"s": ["x"], "t": ["y"]},
            {"s": ["<t>"], "t": ["y", "z<s>"]},
        ):
            with self.assertRaises(GrammarError):
                Grammar({**TINY, "rules": rules})
        with self.assertRaises(GrammarError):
            Grammar({**TINY, "format": 2})
        with self.assertRaises(GrammarError):
            Grammar({**TINY, "slots": TINY["slots"] | {"pet": {"table": "pet", "unlike": ["hero"]}}})


class StoryGrammar(unittest.TestCase):
    def test_the_same_seed_tells_the_same_story(self):
        self.assertEqual(STORIES, list(GRAMMAR.stories(2026, 60)))
        self.assertNotEqual(STORIES, list(GRAMMAR.stories(2027, 60)))

    def test_every_story_is_recognised(self):
        for story in STORIES:
            self.assertTrue(RECOGNISER.check(story).complete, story)
            self.assertTrue(story.isascii())

    def test_stories_cut_anywhere_are_prefixes(self):
        for cut, story in enumerate(STORIES):
            verdict = RECOGNISER.check(story[: len(story) * cut // len(STORIES)])
            self.assertTrue(verdict.prefix and not verdict.complete)

    def test_a_changed_letter_is_rejected(self):
        for story in STORIES:
            at = len(story) // 2
            self.assertFalse(RECOGNISER.check(story[:at] + "#" + story[at + 1 :]).prefix)

    def test_another_name_later_on_is_rejected(self):
        names = [row[0] for row in GRAMMAR.tables["child"]["rows"]]
        for story in STORIES:
            name = next(word for word in re.findall("[A-Za-z]+", story) if word in names)
            other = next(n for n in names if n[0] != name[0])
            at = story.rfind(name)
            verdict = RECOGNISER.check(story[:at] + other + story[at + len(name) :])
            self.assertEqual((verdict.prefix, verdict.read), (False, at), story)

    def test_another_pronoun_is_rejected(self):
        swaps = {" She ": " He ", " He ": " She ", " her ": " his ", " his ": " her "}
        rejected = tried = 0
        for story in STORIES:
            for old, new in swaps.items():
                if (at := story.rfind(old)) > 0:
                    tried += 1
                    rejected += not RECOGNISER.check(story[:at] + new + story[at + len(old) :]).prefix
        self.assertGreater(tried, 60)
        self.assertEqual(rejected, tried)

    def test_a_second_animal_place_or_thing_is_rejected(self):
        for table in ("animal", "thing", "colour"):
            words = [row[0] for row in GRAMMAR.tables[table]["rows"]]
            for story in STORIES:
                twice = [w for w in words if story.count(f" {w}") > 1]
                if len(twice) != 1:
                    continue
                at = story.rfind(f" {twice[0]}")
                other = next(w for w in words if w[0] != twice[0][0] and f" {w}" not in story)
                changed = f"{story[:at]} {other}{story[at + 1 + len(twice[0]):]}"
                self.assertFalse(RECOGNISER.check(changed).prefix, changed)

    def test_sentences_in_another_order_are_rejected(self):
        for story in STORIES:
            sentences = story.split(". ")
            sentences[2], sentences[-3] = sentences[-3], sentences[2]
            self.assertFalse(RECOGNISER.check(". ".join(sentences)).prefix)

    def test_most_stories_are_longer_than_a_hundred_words(self):
        self.assertGreater(sum(len(story.split()) > 100 for story in STORIES), 54)


class Tokens(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tokenizer = Tokenizer.train(GRAMMAR.stories(1, 400), 700)

    def test_decoding_undoes_encoding(self):
        for text in STORIES[:20] + ["", " ", "  two  spaces ", "Zoë met 3 dragons\n& a \U0001f98a!", 'a"b."c']:
            self.assertEqual(self.tokenizer.decode(self.tokenizer.encode(text)), text)

    def test_cutting_into_chunks_changes_nothing(self):
        for text in STORIES[:20] + ["  two  spaces ", "x1y2 .. ''A'' ...The", 'said"Why. "You!']:
            self.assertEqual(self.tokenizer.encode(text), self.tokenizer.merge(escape(text)))

    def test_merging_takes_the_best_pair_first(self):
        def slow(text):
            symbols, ids, scores = list(text), self.tokenizer.ids, self.tokenizer.scores
            while True:
                pairs = [(-scores[ids[a + b]], i) for i, (a, b) in enumerate(zip(symbols, symbols[1:])) if a + b in ids]
                if not pairs:
                    return [ids[s] for s in symbols]
                i = min(pairs)[1]
                symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]

        for text in STORIES[:20]:
            self.assertEqual(self.tokenizer.encode(text), slow(escape(text)))

    def test_unknown_characters_become_bytes(self):
        ids = self.tokenizer.encode("~")
        self.assertEqual(ids[-1], FIRST_BYTE_ID + ord("~"))


class Numbers(unittest.TestCase):
    def test_q8_0_stays_within_half_a_step(self):
        x = np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32)
        x[1, :32] = 0
        data = quantise_q8_0(x)
        self.assertEqual(len(data), 4 * 2 * 34)
        step = np.abs(x.reshape(-1, 32)).max(axis=1, keepdims=True) / 127
        error = np.abs(tensor(data, [4, 64], Q8_0, 0) - x).reshape(-1, 32)
        self.assertTrue((error <= step * 0.57 + 1e-9).all())

    def test_q8_0_rounds_halves_away_from_zero(self):
        x = np.zeros(32, np.float32)
        x[:4] = 127, 2.5, -2.5, 0.5
        self.assertEqual(list(tensor(quantise_q8_0(x), [32], Q8_0, 0)[:4]), [127, 3, -3, 1])

    def test_top_k_and_top_p_keep_the_best(self):
        logits = np.array([0.0, 3.0, 1.0, 2.9], np.float32)
        rng = SplitMix64(5)
        self.assertEqual({choose(logits, rng, 1.0, 1, 1.0) for _ in range(50)}, {1})
        self.assertEqual({choose(logits, rng, 1.0, 0, 0.6) for _ in range(200)}, {1, 3})
        self.assertEqual({choose(logits, rng, 1.0, 0, 1.0) for _ in range(500)}, {0, 1, 2, 3})


if __name__ == "__main__":
    unittest.main()
