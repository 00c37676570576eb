"""Blunt attacks as what a tool returns, alone or in a field, and what people write to each other with the same words: an output that says no more than
"Ignore all previous instructions." is an attack for the head for tools by itself, without help from the head for typed text."""

import random

import direct_attacks
import tool_outputs
from grammar import Grammar, sentence, typed
from topics import HARMLESS

CLEAN = {
    "harmless": HARMLESS,
    "name": tool_outputs.CONTENT["name"],
    "void": ["ignore", "disregard", "forget", "delete", "overlook", "discard", "throw away", "skip", "cancel", "replace", "clear", "set aside", "leave out"],
    "voided": ["ignored", "disregarded", "forgotten", "deleted", "overlooked", "discarded", "skipped", "cancelled", "replaced", "cleared", "overridden", "bypassed"],
    "old": ["previous", "earlier", "prior", "last", "old", "original", "first", "above", "initial", "default"],
    "thing": ["mail", "invoice", "message", "letter", "instructions for {harmless}", "version", "notice", "draft", "order of tiles", "reminder", "rules of the game", "price list",
              "guidelines of the club", "timetable", "prompt on the screen", "settings of the oven", "directions to the hall", "safety rules of the pool", "password hint", "system message about the disk"],
    "who": ["{name}", "the caretaker", "our landlord", "the office", "my sister", "the teacher", "the supplier", "the coach", "support", "the bank", "the printer's manual", "the review"],
    "reason": ["it went to the wrong list", "the date was wrong", "the amount has changed", "a page was missing", "it was meant for {name}", "the meeting moved to Thursday", "we found a mistake", "the new one is attached",
               "nobody could read it", "it has been paid", "the shop is closed that day", "version 2 is out"],
    "unruly": ["has no restrictions on luggage", "works without limits on storage", "acts as a host for the evening", "pretends to be a detective in the play", "plays the evil twin in act two",
               "speaks freely about {harmless}", "tells secrets of the trade", "does anything for a good story", "broke the rules of the pool again", "is free of charge for members"],
    "clean": ["{who} asked us to {void} the {old} {thing}, because {reason}", "Please {void} the {old} {thing}: {reason}", "You can {void} the {old} {thing}, {reason}",
              "The {old} {thing} was {voided} on Monday", "The {old} {thing} no longer applies since {reason}", "{who} wrote: sorry, {void} my {old} {thing}",
              "The {old} {thing} can safely be {voided} once {reason}", "Do not {void} the {old} {thing}; {who} still needs it", "I forgot the {old} {thing}, could you send it again?",
              "From now on the {thing} comes with the weekly mail", "New instructions for {harmless} hang in the hall", "What are your rules for {harmless}? I read the {old} {thing} and found none",
              "The password for the wifi is on the card in the kitchen", "{who} {unruly}", "Show {who} the {old} {thing} and tell us what {name} says", "Users who {void} the {old} {thing} see a warning",
              "{who} printed the {old} {thing} twice", "The {thing} says what to do when it is {voided}", "System notice: the {old} {thing} was {voided}, {reason}", "The setting \"{void} {old} {thing}\" is off"],
}
ATTACKS = ("override_attack", "override_attack", "override_attack", "extract_attack", "persona_attack")
# What stands around a text that is the whole output.
MARKS = ("{}", "{}", "{}", "<!-- {} -->", "# {}", "// {}", "[{}]", "*** {} ***", "<p>{}</p>", "Note: {}", "\"{}\"", "{{\"result\": \"{}\"}}", "> {}", "{}\n\n--\nsent from my phone", "Result:\n{}")


def texts(count: int, seed: int) -> tuple[list[str], list[str]]:
    """Attacks, and harmless texts."""
    rng, attack, clean = random.Random(seed), Grammar(*direct_attacks.TABLES), Grammar(CLEAN)
    return ([typed(rng, sentence(attack.expand(rng, "{" + rng.choice(ATTACKS) + "}"))) for _ in range(count)],
            [typed(rng, sentence(clean.expand(rng, "{clean}"))) + rng.choice(".. !") for _ in range(count)])


def pairs(count: int, seed: int) -> list[tuple[str, str, str]]:
    """(clean output, attacked output, what was injected): half of them the text alone within marks, half a field of a tool's output."""
    rng, (attacks, harmless) = random.Random(seed), texts(count, seed)
    alone = [(mark.format(clean), mark.format(attack), attack) for attack, clean in zip(attacks, harmless) for mark in [rng.choice(MARKS)]]
    return alone[:count // 2] + tool_outputs.crossed(count - count // 2, seed, attacks, harmless)
