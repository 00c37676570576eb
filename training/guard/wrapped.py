"""Typed texts in the forms of what people paste: pages, settings, logs, code, tables. Attacks and harmless texts stand in the same forms beside the same
others, so that angle brackets and colons say nothing by themselves."""

import random

from grammar import Grammar
from topics import HARMLESS

# What opens a document, its lines, and what closes it; `{text}` is the line's text, other slots are words.
FORMS = {
    "page": (("", "<!DOCTYPE html>\n<html lang=\"{lang}\">\n<head><title>{title}</title></head>\n<body>\n", "<html><head><meta charset=\"utf-8\"><title>{title}</title></head><body>", "<main>\n", "<div class=\"{word}\">\n"),
             ("<p>{text}</p>", "<h2>{text}</h2>", "<li>{text}</li>", "<div class=\"{word}\">{text}</div>", "<a href=\"/{word}\">{text}</a>", "<blockquote>{text}</blockquote>", "<span id=\"{word}\">{text}</span>",
              "<label for=\"{word}\">{text}</label> <input name=\"{word}\" type=\"text\">", "<button type=\"submit\">{text}</button>", "<!-- {text} -->", "<td>{text}</td><td>{number}</td>", "<dt>{word}</dt><dd>{text}</dd>",
              "<option value=\"{word}\">{text}</option>", "<meta name=\"description\" content=\"{text}\">", "<script>var {word} = \"{text}\";</script>", "<img src=\"{word}.png\" alt=\"{text}\">", "<p class=\"{word}\"><b>{word}:</b> {text}<br></p>"),
             ("", "</body>\n</html>", "</body></html>", "</main>", "</div>")),
    "settings": (("", "# {word}.yaml\n", "version: {number}\n", "---\n"), ("{word}: \"{text}\"", "  - {text}", "# {text}", "{word}_{word}: {number}", "  {word}: >\n    {text}", "  - name: {word}\n    run: echo \"{text}\""), ("", "...")),
    "ini": (("[{word}]\n", "; {title}\n[{word}]\n"), ("{word} = {text}", "; {text}", "{word} = {number}", "{word}.{word} = \"{text}\""), ("",)),
    "log": (("", "== {word} ==\n"), ("2000-0{digit}-1{digit} 1{digit}:0{digit}:2{digit} INFO {word}: {text}", "[{word}] {text}", "1{digit}:4{digit}:0{digit} {word}[{number}]: {text}", "WARN  {word} - {text}", "  at {word}.{word}({word}.java:{number})"), ("",)),
    "code": (("", "import {word}\n\n", "#include <{word}.h>\n\n", "def {word}():\n"), ("# {text}", "// {text}", "    print(\"{text}\")", "const {word} = '{text}';", "/* {text} */", "    {word} = {word}({number})", "assert {word} != \"{text}\"", "return {{\"{word}\": \"{text}\"}}"), ("", "}}")),
    "notes": (("", "# {title}\n\n", "## {number}.{digit}.0\n\n"), ("- {text}", "* {text} (#{number})", "### {text}", "{digit}. {text}", "> {text}", "| {word} | {text} |", "**{word}**: {text}", "`{word} --{word}`: {text}"), ("",)),
    "table": (("id,{word},{word}\n", ""), ("{number},{word},\"{text}\"", "{number};{text};{word}", "INSERT INTO {word} VALUES ({number}, '{text}');"), ("", "COMMIT;")),
    "tags": (("<?xml version=\"1.0\"?>\n<{word}>\n", "<items>\n"), ("<item id=\"{number}\">{text}</item>", "<note>{text}</note>", "<entry {word}=\"{number}\"><text>{text}</text></entry>"), ("</items>", "")),
    "help": (("USAGE\n  {word} [options]\n\nOPTIONS\n", "NAME\n  {word} - {title}\n\n"), ("  --{word}  {text}", "  -{letter}, --{word}\n      {text}", "  {text}"), ("", "EXIT STATUS\n  0 if all went well")),
    "mail": (("Subject: {title}\n\n", "From: {word}@{word}.example\nSubject: {title}\n\n", "Hi,\n\n"), ("{text}", "> {text}", ">> {text}", "* {text}", "{text}\n"), ("Thanks", "--\n{word}")),
}
WORDS = {
    "word": ["main", "item", "price", "user", "order", "store", "parcel", "menu", "garden", "ticket", "route", "engine", "color", "layout", "footer", "comment", "title", "index", "status", "kitchen", "booking", "season", "report",
             "member", "track", "weight", "filter", "session", "prompt", "policy", "system", "role", "rules", "guard", "secret", "config"],
    "title": ["{harmless}", "About {harmless}", "{word} and {word}", "Notes on {harmless}"],
    "harmless": HARMLESS,
    "lang": ["en", "de", "fr", "es"],
    "number": ["{digit}", "{digit}{digit}", "{digit}{digit}{digit}", "1{digit}{digit}{digit}"],
    "digit": list("123456789"),
    "letter": list("abcdhqvx"),
    "request": ["What does this do?", "Why does this not work?", "Translate this into {tongue}", "Summarise this", "Find the mistake", "Please tidy this up", "Is this correct?", "Shorten it, please", "Turn this into plain text", "What is this about?",
                "Proofread the following", "Can you explain this file?", "Make it sound friendlier", "How would you improve it", "What's missing here?", "Reformat this", "Is there anything odd in it?", "Check the spelling"],
    "tongue": ["German", "French", "Polish", "simple English"],
}


def wrapped(rng: random.Random, grammar: Grammar, text: str, others: list[str]) -> str:
    """`text` as a line of a document, with up to six of `others` on lines beside it and perhaps a request before or after."""
    opens, lines, closes = FORMS[rng.choice(list(FORMS))]
    texts = rng.sample(others, rng.randint(0, 6))
    texts.insert(rng.randint(0, len(texts)), text)
    kinds = rng.sample(lines, min(len(lines), rng.randint(1, 4)))
    # The words of a form are filled first: braces in a text are its own.
    fill = lambda form: grammar.expand(rng, form.replace("{text}", "\0").replace("{{", "\1").replace("}}", "\2")).replace("\1", "{").replace("\2", "}")
    body = [fill(rng.choice([kind for kind in kinds if "{text}" in kind] or ["{text}"])).replace("\0", line) for line in texts]
    ends = rng.randrange(2)
    document = (fill(rng.choice(opens)) if ends else "") + rng.choice(["\n", "\n", "\n  "]).join(body) + ("\n" + fill(rng.choice(closes)) if ends else "")
    request = rng.choice(["", "", fill("{request}")])
    return rng.choice([f"{request}\n\n{document}", f"{document}\n\n{request}", f"{request}:\n{document}"]).strip() if request else document.strip()


def texts(count: int, seed: int, attacks: list[str], harmless: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """`count` attacks, each with what was put into the form, and as many harmless ones in the same forms beside the same others."""
    grammar, rng = Grammar(WORDS), random.Random(seed)
    found = ([], [])
    for i in range(count):
        attack, clean = rng.choice(attacks), rng.choice(harmless)
        found[0].append((wrapped(random.Random(f"{seed} {i}"), grammar, attack, harmless), attack))
        found[1].append(wrapped(random.Random(f"{seed} {i}"), grammar, clean, harmless))
    return found
