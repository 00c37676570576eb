//! How instructions to a model try to take the place of those it has. A phrase begins with one of its keywords; what
//! has to follow is a pattern that is anchored there.

/// A family of phrases.
pub(super) struct Phrase {
    pub name: &'static str,
    /// In lower case; ASCII letters are found in either case.
    pub keywords: &'static [&'static str],
    /// What follows the keyword. `~` stands for what may stand between two words, `@` for up to four other words.
    pub pattern: &'static str,
}

/// Between two words: nothing at all, where letters were brought together.
pub(super) const BETWEEN: &str = r"(?-u:[^a-z0-9\x1c])*";
/// Up to four other words.
pub(super) const OTHER_WORDS: &str = r"(?:(?-u:[^a-z0-9\x1c])+[a-z']+){0,4}";

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
            r"(?:ing)?@(?:~(?:all|any|the|your|my|of|these|those|and|every|previous|previously|prior|above|earlier|",
            r"preceding|former|foregoing|initial|original|system|existing|current|given|other|old|past|safety|",
            r"developer|hidden)){1,5}~(?:instructions?|prompts?|directives?|guidelines|commands?|programming|",
            r"orders|directions|constraints|restrictions|policies|training)"
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
            "developer mode enabled",
            "dan mode",
            "jailbreak mode",
            "god mode enabled",
        ],
        pattern: "",
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
            r"@~(?:ethical|moral|content|safety|openai|anthropic|programmed)(?:~(?:and|or|moral|ethical|legal))*",
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

/// Whether a finding of that name is a phrase.
pub(super) fn is_phrase(name: &str) -> bool {
    PHRASES.iter().any(|phrase| phrase.name == name)
}
