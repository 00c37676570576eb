//! How instructions to a model try to take the place of those it has. A phrase begins with one of its keywords; what
//! has to follow is a pattern that is anchored there.

use std::ops::Range;

/// A family of phrases.
pub(super) struct Phrase {
    pub name: &'static str,
    /// In lower case; ASCII letters are found in either case.
    pub keywords: &'static [&'static str],
    /// What follows the keyword. `~` stands for what may stand between two words, `@` for up to four other words.
    pub pattern: &'static str,
}

/// Points and semicolons, and what closes after them. White space behind them ends a sentence.
macro_rules! points {
    () => {
        r#"(?:[.;]+[)"'\]*_`]*)"#
    };
}

/// The same with another sign behind them that is no white space, or three points and more.
macro_rules! inner_points {
    () => {
        r#"\.{3,}|[.;]+[)"'\]*_`]*[^a-z0-9\x1c.;\s)"'\]*_`]"#
    };
}

/// What makes the instructions those of a model; `the` and `any` alone do not.
macro_rules! of_a_model {
    () => {
        concat!(
            r"(?:all|your|my|these|those|every|previous|previously|prior|above|earlier|preceding|former|foregoing|",
            r"initial|original|system|existing|current|given|other|old|past|safety|developer|hidden)"
        )
    };
}

/// What a model is told.
macro_rules! instructions {
    () => {
        concat!(
            r"(?:instructions?|prompts?|directives?|guidelines|commands?|programming|orders|directions|constraints|",
            r"restrictions|policies|training)"
        )
    };
}

/// Between two words: nothing at all, where letters were brought together, and no end of a sentence.
pub(super) const BETWEEN: &str =
    concat!(r"(?-u:(?:[^a-z0-9\x1c.;]|", inner_points!(), r")*", points!(), r"?)");
/// Up to four other words, in the same paragraph.
pub(super) const OTHER_WORDS: &str = concat!(
    r"(?:(?-u:(?:(?:[^a-z0-9\x1c.;\n]|",
    inner_points!(),
    r")+\n?(?:[^a-z0-9\x1c.;\n]|",
    inner_points!(),
    r")*|\n(?:[^a-z0-9\x1c.;\n]|",
    inner_points!(),
    r")*)",
    points!(),
    r"?|(?-u:",
    points!(),
    r"))[a-z']+){0,4}"
);

const INJECTION: &str = "Prompt injection";

/// The families. Nothing here was taken from a set that detectors are measured on.
pub(super) const PHRASES: &[Phrase] = &[
    Phrase {
        name: INJECTION,
        keywords: &[
            "ignore",
            "ignoring",
            "disregard",
            "forget",
            "override",
            "overlook",
            "neglect",
            "bypass",
            "discard",
            "dismiss",
            "do not follow",
            "don't follow",
            "stop following",
            "pay no attention to",
            "do not obey",
        ],
        pattern: concat!(
            r"(?:ing)?@(?:(?:~(?:the|any|of|and)){0,3}~",
            of_a_model!(),
            r"(?:~(?:the|any|of|and|",
            of_a_model!(),
            r")){0,4}~",
            instructions!(),
            r"|~(?:the|any)~",
            instructions!(),
            r"~(?:(?:from~)?(?:above|before|earlier)|previously|(?:that~)?(?:you|i|we)(?:'ve|~have|~had|~were|~are)*~",
            r"(?:given|gave|told|got|received)))"
        ),
    },
    Phrase {
        name: INJECTION,
        keywords: &["ignore", "disregard", "forget", "discard"],
        pattern: concat!(
            r"@(?:~(?:all|any|the|your|of)){0,3}~(?:previous|prior|above|earlier|preceding|foregoing)~(?:rules|",
            r"messages|conversation|context|text|tasks?|requests?|statements?|input|content|information)(?-u:\b)"
        ),
    },
    Phrase {
        name: INJECTION,
        keywords: &["ignore", "disregard", "forget"],
        pattern: concat!(
            r"~(?:everything|anything|all|whatever)(?:~(?:of|the|that|what))?~(?:above|(?:you(?:'ve|~have|~had)?|i(?:'ve|",
            r"~have)?|we(?:'ve|~have)?)~(?:were|been|was)?~(?:told|said|learned|instructed|given|discussed)|",
            r"(?:came|was|said|written)~(?:before|above|earlier))"
        ),
    },
    Phrase {
        name: INJECTION,
        keywords: &[
            "reveal", "repeat", "print", "output", "leak", "show", "tell", "give", "display", "recite",
            "dump",
        ],
        pattern: concat!(
            r"(?:~(?:me|us|out|back|the|your|all|full|entire|exact|complete|verbatim|of|text|contents?|word|for|with|",
            r"whole)){0,6}~(?:(?:your|the)~)?(?:system|initial|original|hidden|secret|internal)~(?:prompt|instructions?)(?-u:\b)"
        ),
    },
    Phrase {
        name: "Jailbreak",
        keywords: &[
            "do anything now",
            "developer mode output",
            "dan mode",
            "jailbreak mode",
            "god mode enabled",
        ],
        pattern: "",
    },
    // Telephones have such a mode too.
    Phrase {
        name: "Jailbreak",
        keywords: &[
            "chatgpt with",
            "gpt with",
            "assistant with",
            "model with",
            "ai with",
            "respond with",
            "answer with",
        ],
        pattern: r"(?:~(?:the|your))?~developer~mode~(?:enabled|on|activated)",
    },
    Phrase {
        name: "Jailbreak",
        keywords: &["developer mode enabled"],
        pattern: r"(?-u:[^a-z0-9\x1c])*(?:you~(?:will|must|are)|chatgpt|ignore|all~(?:filters|restrictions|safety))",
    },
    Phrase {
        name: "Jailbreak",
        keywords: &["you are now", "you're now", "act as", "pretend to be", "pretend you are", "respond as"],
        pattern: concat!(
            r"(?:~(?:an?|the|my|in|going|to|be|called|named|ai|evil))?(?:~[a-z]{1,16}){0,2}?~(?:dan(?-u:\b)|jailbroken|",
            r"unrestricted|unfiltered|uncensored|amoral|developer~mode|an?~ai~without)"
        ),
    },
    Phrase {
        name: "Jailbreak",
        keywords: &[
            "no longer bound by",
            "not bound by",
            "free from",
            "freed from",
            "without any",
            "have no",
            "has no",
        ],
        pattern: concat!(
            r"@~(?:ethical|moral|openai|anthropic|programmed)(?:~(?:and|or|moral|ethical|legal|content|safety))*",
            r"~(?:guidelines|restrictions|constraints|limitations|filters|policies|policy)"
        ),
    },
    // Interfaces have no such limits either, so it has to be said to somebody.
    Phrase {
        name: "Jailbreak",
        keywords: &[
            "no longer bound by",
            "not bound by",
            "you have no",
            "you now have no",
            "you are free from",
            "you're free from",
            "you are now free from",
            "you are freed from",
            "act without any",
            "answer without any",
            "reply without any",
            "respond without any",
        ],
        pattern: concat!(
            r"@~(?:content|safety)(?:~(?:and|or|moral|ethical|legal|content|safety))*",
            r"~(?:guidelines|restrictions|constraints|limitations|filters|policies|policy)"
        ),
    },
    Phrase {
        name: INJECTION,
        keywords: &["ignoriere", "ignorier", "vergiss", "missachte", "vergessen sie", "ignorieren sie"],
        pattern: r"@~(?:alle|vorherigen|vorigen|bisherigen|obigen|fruheren|vorangegangenen)@~(?:anweisungen|instruktionen|befehle|regeln|vorgaben)",
    },
    Phrase {
        name: INJECTION,
        keywords: &[
            "ignore",
            "oublie",
            "ignora",
            "olvida",
            "esqueca",
            "dimentica",
            "omite",
            "negeer",
            "vergeet",
        ],
        pattern: concat!(
            r"[a-z]{0,4}@~(?:instructions|consignes|directives|instrucciones|ordenes|instrucoes|istruzioni|instructies|",
            r"opdrachten)~(?:precedentes?|anteriores|previas|precedenti|ci~dessus|vorige)"
        ),
    },
    Phrase {
        name: INJECTION,
        keywords: &["negeer", "vergeet"],
        pattern: r"@~(?:vorige|eerdere|voorgaande|bovenstaande)~(?:instructies|opdrachten|aanwijzingen)",
    },
    Phrase {
        name: INJECTION,
        keywords: &["zignoruj", "ignoruj", "zapomnij"],
        pattern: r"@~(?:poprzednie|wczesniejsze|wszystkie|powyzsze)@~(?:instrukcje|polecenia)",
    },
    Phrase {
        name: INJECTION,
        keywords: &["onceki", "yukaridaki"],
        pattern: r"@~(?:talimatlari|komutlari|yonergeleri)@~(?:yok~say|unut|gormezden~gel|dikkate~alma)",
    },
    Phrase {
        name: INJECTION,
        keywords: &[
            "игнорируй",
            "Игнорируй",
            "проигнорируй",
            "Проигнорируй",
            "забудь",
            "Забудь",
            "ИГНОРИРУЙ",
            "ЗАБУДЬ",
        ],
        pattern: r"(?-u:[^.!?\x1c]){0,120}(?:инструкции|указания|команды|правила|ИНСТРУКЦИИ|УКАЗАНИЯ)",
    },
    Phrase {
        name: INJECTION,
        keywords: &["忽略", "无视", "忘记", "忘掉", "忽視", "無視", "不要理会"],
        pattern: r"(?-u:[^.!?\x1c]){0,100}(?:指令|指示|提示|说明|規則|规则|命令)",
    },
    Phrase {
        name: INJECTION,
        keywords: &["以前の", "これまでの", "上記の", "前の", "すべての"],
        pattern: r"(?-u:[^.!?\x1c]){0,70}(?:指示|命令|指令|プロンプト)(?-u:[^.!?\x1c]){0,36}(?:無視|忘れ)",
    },
    Phrase {
        name: INJECTION,
        keywords: &["이전", "위의", "모든", "앞의"],
        pattern: r"(?-u:[^.!?\x1c]){0,100}(?:지시|명령|지침|프롬프트)(?-u:[^.!?\x1c]){0,70}(?:무시|잊)",
    },
];

/// Words that end in a keyword and mean something else. In other words letters may have been brought together.
const OTHER_WORDS_WITH_KEYWORDS: &[&str] = &[
    "gitignore",
    "dockerignore",
    "npmignore",
    "eslintignore",
    "prettierignore",
    "helmignore",
    "hgignore",
    "contact as",
    "exact as",
    "impact as",
    "interact as",
    "react as",
    "blueprint",
    "fingerprint",
    "footprint",
    "forgive",
];

/// Whether a keyword does not mean what it means elsewhere: it ends another word, or is about what is not to be forgotten.
pub(super) fn is_other_word(text: &[u8], keyword: &Range<usize>) -> bool {
    let before_and_keyword = &text[..keyword.end];
    if OTHER_WORDS_WITH_KEYWORDS
        .iter()
        .any(|word| word.len() > keyword.len() && ends_with(before_and_keyword, word))
    {
        return true;
    }
    const REMEMBER: [&str; 4] = ["not ", "n't ", "n’t ", "never "];
    let is_kept = || REMEMBER.iter().any(|word| ends_with(&text[..keyword.start], word));
    let is_work = || {
        let begins = |words: &str| {
            text[keyword.end..]
                .get(..words.len())
                .is_some_and(|text| text.eq_ignore_ascii_case(words.as_bytes()))
        };
        begins(" to ") && !begins(" to follow") && !begins(" to obey")
    };
    text[keyword.clone()].eq_ignore_ascii_case(b"forget") && (is_kept() || is_work())
}

fn ends_with(text: &[u8], word: &str) -> bool {
    text.len().checked_sub(word.len()).is_some_and(|at| text[at..].eq_ignore_ascii_case(word.as_bytes()))
}

/// Whether a phrase may end there: a command line is nothing that a model is told.
pub(super) fn may_end(text: &[u8], end: usize) -> bool {
    if !ends_with(&text[..end], "command") {
        return true;
    }
    let rest = &text[end..];
    let rest = rest.strip_prefix(b"-").or_else(|| rest.strip_prefix(b" ")).unwrap_or(rest);
    !rest.get(..4).is_some_and(|rest| rest.eq_ignore_ascii_case(b"line"))
}

/// Whether a finding of that name is a phrase.
pub(super) fn is_phrase(name: &str) -> bool {
    PHRASES.iter().any(|phrase| phrase.name == name)
}
