//! The phrases of other languages. Each language says what its words for a model's instructions are, and which words make an order
//! none; its phrases say what is to be done with them. Letters with marks are written without, as look-alikes are read.
//!
//! Only orders are phrases: a verb in another form tells what somebody did, or what is not to be forgotten.

use super::phrases::{BETWEEN, INJECTION, Phrase};

/// What the phrases of a language have in common. Alternatives of a pattern where nothing else is said.
pub(super) struct Tongue {
    /// Words that make an order none if one is among the two before it, or within the three letters before it where words are
    /// not set apart: negations, and who does it. `*` stands for the rest of a word.
    pub before: &'static [&'static str],
    /// Words that make it none inside of it, and behind it.
    pub inside: &'static [&'static str],
    pub words: Words,
    /// What may stand before the instructions and makes them nobody's.
    fill: &'static str,
    /// Makes instructions those of a model, but not rules, which others have too.
    all: &'static str,
    /// Makes instructions and rules those of a model.
    own: &'static str,
    instructions: &'static str,
    rules: &'static str,
    /// Makes them those of a model from behind.
    behind: &'static str,
}

/// How words are set apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    /// In letters that are read as ASCII.
    Latin,
    /// By blanks.
    Apart,
    /// Not at all.
    Together,
}

/// Between two words of letters that are no ASCII: blanks and signs, and no end of a sentence.
const BLANKS: &str = r#"[\t\n\r "-\-/:<->\[-`{-~\u{a0}-\u{bf}\u{2000}-\u{206f}،、，：]{0,6}"#;
/// Up to some words in the same sentence, in whatever letters.
const SENTENCE: &str = r"(?-u:[^.!?\n\x1c]){0,150}";

impl Tongue {
    /// Whether its words are set apart from each other.
    pub fn has_whole_words(&self) -> bool {
        self.words != Words::Together
    }

    /// A pattern with its abbreviations written out: `&` are the instructions of a model, `#` are instructions, `~` is what may
    /// stand between two words, `%` the same for other letters than ASCII, and `^` the rest of a sentence.
    pub fn spell(&self, pattern: &str) -> String {
        let Self { fill, all, own, instructions, rules, behind, .. } = self;
        let model = format!(
            "(?:~(?:{fill}|{all}|{own})){{0,4}}(?:~(?:{all}|{own})(?:~(?:{fill}))?~(?:{instructions})\
             |~(?:{own})(?:~(?:{fill}))?~(?:{rules})|~(?:{instructions}|{rules})(?:~(?:{fill}))?~(?:{behind}))"
        );
        let pattern = pattern.replace('&', &model).replace('#', &format!("(?:{instructions})"));
        let mut spelt = String::new();
        for c in pattern.chars() {
            match c {
                '~' if self.words == Words::Latin => spelt.push_str(BETWEEN),
                '~' | '%' => spelt.push_str(BLANKS),
                '^' => spelt.push_str(SENTENCE),
                c => spelt.push(c),
            }
        }
        spelt
    }
}

const SPANISH: Tongue = Tongue {
    before: &[
        "no", "nunca", "jamás", "jamas", "ni", "sin", "el", "la", "él", "ella", "quien", "que", "un", "una",
    ],
    inside: &["no", "nunca"],
    words: Words::Latin,
    fill: "de|a|las?|los|el|lo|estas|esas|estos|esos|por|favor|completo|completamente|ahora|ya|inmediatamente",
    all: "todas?|todos?|cualquier|cualesquiera",
    own: "tus?|vuestras?|vuestros?|anteriores|previ[ao]s|precedentes|iniciales|originales|actuales|pasadas|antiguas",
    instructions: "instruccion(?:es)?|ordenes|indicaciones|directrices|directivas|comandos|prompts?",
    rules: "reglas|normas",
    behind: "anteriores|previ[ao]s|precedentes|iniciales|originales|de~arriba|(?:dadas|recibidas|mencionadas)~(?:antes|arriba|anteriormente)|que~(?:te|os|has|se~te)~(?:dieron|han|recibido|dio|di)",
};

const PORTUGUESE: Tongue = Tongue {
    before: &[
        "não", "nao", "nunca", "jamais", "nem", "sem", "o", "a", "ele", "ela", "quem", "que", "um", "uma",
    ],
    inside: &["não", "nao", "nunca"],
    words: Words::Latin,
    fill: "de|as?|os?|das|dos|estas|essas|estes|esses|por|favor|completamente|agora|ja|imediatamente",
    all: "todas?|todos?|quaisquer|qualquer",
    own: "tuas?|suas?|vossas|anteriores|previ[ao]s|precedentes|iniciais|originais|atuais|antigas",
    instructions: "instruc(?:ao|oes)|ordens|orientacoes|diretrizes|diretivas|indicacoes|comandos|prompts?",
    rules: "regras|normas",
    behind: "anteriores|previ[ao]s|precedentes|iniciais|originais|acima|(?:dadas|recebidas|mencionadas|descritas)~(?:antes|acima|anteriormente)|que~(?:recebeu|recebeste|te~deram|lhe~deram)",
};

const FRENCH: Tongue = Tongue {
    before: &[
        "n", "ne", "pas", "jamais", "sans", "il", "elle", "on", "qui", "je", "j", "ils", "elles", "a", "ai",
        "as", "ont", "avons", "avez", "avait", "aurait", "ayant", "le", "la", "un", "une",
    ],
    inside: &["pas", "jamais"],
    words: Words::Latin,
    fill: "de|des|les?|la|l|ces|cette|maintenant|completement|immediatement",
    all: "toutes?|tous",
    own: "tes|ta|vos|votre|precedentes?|precedents|anterieure?s|initiales|actuelles|anciennes",
    instructions: "instructions?|consignes?|directives?|ordres|indications|prompts?",
    rules: "regles",
    behind: "precedentes?|precedents|anterieure?s|initiales|ci~dessus|plus~haut|systeme|(?:donnees|fournies|recues|mentionnees)~(?:ci~dessus|plus~haut|precedemment|avant|auparavant)|que~(?:tu~as|vous~avez)~recues",
};

const ITALIAN: Tongue = Tongue {
    before: &["non", "mai", "senza", "il", "lo", "la", "lui", "lei", "chi", "che", "un", "una", "si"],
    inside: &["non", "mai"],
    words: Words::Latin,
    fill: "le|i|gli|la|il|delle|dei|degli|di|queste|quelle|questi|quelli|completamente|subito|adesso|ora",
    all: "tutte|tutti|qualsiasi",
    own: "tue|tuoi|vostre|vostri|precedenti|anteriori|iniziali|originali|attuali|vecchie",
    instructions: "istruzion[ei]|indicazioni|direttive|consegne|comandi|ordini|prompt",
    rules: "regole",
    behind: "precedenti|anteriori|iniziali|originali|(?:qui~|di~cui~)?sopra|(?:date|ricevute|fornite)~(?:sopra|prima|in~precedenza)|che~(?:hai|ti~hanno)~(?:ricevuto|dato)",
};

const GERMAN: Tongue = Tongue {
    before: &[
        "nicht", "nie", "niemals", "kein", "keine", "ich", "er", "es", "wer", "dass", "weil", "wenn", "ob",
        "wir", "man", "der", "zu",
    ],
    inside: &["nicht", "nie", "niemals", "keinesfalls"],
    words: Words::Latin,
    fill: "die|der|den|dem|das|diese|von|du|sie|bitte|nun|jetzt|ab|sofort|einfach|komplett|vollstandig|gegebenen|genannten|erteilten",
    all: "alle[rn]?|all|samtliche[rn]?|jegliche[rn]?|jede",
    own: "deine[rn]?|eure[rn]?|sie~(?:alle~)?ihre|vorherige[nr]?|vorige[nr]?|bisherige[nr]?|obige[nr]?|obenstehende[nr]?|fruhere[nr]?|vorangegangene[nr]?|vorangehende[nr]?|vorhergehende[nr]?|ursprungliche[nr]?|zuvor|oben|vorher",
    instructions: "anweisung(?:en)?|instruktion(?:en)?|befehle?n?|anordnungen|direktiven|(?:system~)?prompts?",
    rules: "regeln|vorgaben",
    behind: "oben|weiter~oben|davor|zuvor|(?:von|die~du)~(?:oben|vorher|zuvor|bisher|bekommen|erhalten)",
};

/// Where a negation is what makes an order one.
const GERMAN_DENIED: Tongue = Tongue { inside: &[], ..GERMAN };
const DUTCH_DENIED: Tongue = Tongue { inside: &[], ..DUTCH };

const DUTCH: Tongue = Tongue {
    before: &[
        "niet", "nooit", "geen", "ik", "hij", "zij", "ze", "wie", "als", "dat", "men", "we", "wij", "te",
        "om",
    ],
    inside: &["niet", "nooit"],
    words: Words::Latin,
    fill: "de|het|deze|die|van|alsjeblieft|aub|nu|meteen|onmiddellijk|volledig|gegeven|genoemde",
    all: "alle|al|elke",
    own: "je|jouw|uw|jullie|vorige|eerdere?|voorgaande|bovenstaande|voorafgaande|oorspronkelijke|huidige",
    instructions: "instructies?|opdrachten|aanwijzingen|bevelen|richtlijnen|commando~s|prompts?",
    rules: "regels",
    behind: "hierboven|van~(?:hierboven|daarvoor)|(?:die~je~)?(?:eerder|hiervoor)~(?:gegeven|kreeg|hebt)",
};

const POLISH: Tongue = Tongue {
    before: &["nie", "nigdy", "on", "ona", "kto", "ktory", "bez"],
    inside: &["nie", "nigdy"],
    words: Words::Latin,
    fill: "o|na|do|te|tych|teraz|prosze|natychmiast|podane|podanych|otrzymane",
    all: "wszystkie|wszystkich|wszystkim|wszelkie|wszelkich",
    own: "swoje|swoich|twoje|twoich|poprzednie|poprzednich|poprzednim|wczesniejsze|wczesniejszych|powyzsze|powyzszych|dotychczasowe|dotychczasowych|uprzednie|uprzednich|pierwotne|pierwotnych|wczesniej|wyzej|powyzej",
    instructions: "instrukcje|instrukcji|instrukcjach|instrukcjom|polecenia|polecen|poleceniach|poleceniom|wytyczne|wytycznych|rozkazy|rozkazach|dyrektywy|komendy|komendach|nakazy|prompty?",
    rules: "zasady|zasadach|zasad",
    behind: "powyzej|wyzej|z~gory|(?:podane|otrzymane)~(?:powyzej|wyzej|wczesniej)",
};

const TURKISH: Tongue = Tongue {
    before: &["neden", "eger", "sakin", "asla"],
    inside: &["asla"],
    words: Words::Latin,
    fill: "verilen|yazan|belirtilen|sistem|gecerli|olan|daha|bu",
    all: "tum|butun|her",
    own: "onceki|yukaridaki|eski|mevcut",
    instructions: "(?:talimat|komut|yonerge|direktif|yonlendirme|emir)(?:lar|ler)?[a-z]{0,8}",
    rules: "kural(?:lar)[a-z]{0,8}",
    behind: "hepsini",
};

const RUSSIAN: Tongue = Tongue {
    before: &["не", "никогда", "нельзя", "он", "она", "они", "кто", "который", "чтобы", "если", "ни", "я"],
    inside: &[],
    words: Words::Apart,
    fill: "о|об|обо|про|на|эти|этих|этим|этими|пожалуйста|полностью|немедленно|сейчас|теперь|данные|данных|полученные|указанные",
    all: "все|всё|всех|всем|всеми|любые|любых",
    own: "сво(?:и|их|им|ими)|тво(?:и|их|им|ими)|ваш(?:и|их|им|ими)|предыдущ(?:ие|их|им|ими|ую)|прежн(?:ие|их|им|ими)|прошлы(?:е|х|м|ми)|выше(?:указанн|приведенн|приведённ|изложенн|стоящ)(?:ые|ых|ие|их|им|ыми?)|изначальны[ехм]|первоначальны[ехм]|исходны[ехм]|системны[ехм]|ранее",
    instructions: "инструкци(?:и|й|ям|ями|ях|ю)|указани(?:я|й|ям|ями|ях)|команд(?:ы|ам|ами|ах)?|распоряжени(?:я|й|ям|ями|ях)|директив(?:ы|ам|ами|ах)?|приказ(?:ы|ов|ам|ами|ах)|установк(?:и|ам|ах)|промпт(?:ы|ов|ам|ах)?",
    rules: "правил(?:а|ам|ами|ах)?|ограничени(?:я|й|ям|ями|ях)",
    behind: "выше|ранее|(?:данные|полученные|указанные)%(?:выше|ранее|тебе|вам)|(?:из|в)%систем(?:ы|ном)",
};

const ARABIC: Tongue = Tongue {
    before: &["لا", "لم", "لن", "قد", "لقد", "الذي", "التي", "أنه", "انه", "هو", "هي", "عدم", "حتى", "ال*"],
    inside: &[],
    words: Words::Apart,
    fill: "هذه|تلك|عن|إلى|الى|مع|تماما|فورا|الآن",
    all: "جميع|كل|كافة|كامل|أي|اي",
    own: "جميع|كل|كافة",
    instructions: "تعليماتك|أوامرك|اوامرك|توجيهاتك|إرشاداتك|التعليمات|الأوامر|الاوامر|الإرشادات|الارشادات|التوجيهات",
    rules: "قواعدك",
    behind: "السابقة|أعلاه|اعلاه|السابق|الأصلية|الاصلية|الأولية|المسبقة|القديمة|(?:المذكورة|الواردة|المعطاة)%(?:أعلاه|اعلاه|سابقا)|التي%(?:تلقيتها|أعطيت|اعطيت)",
};

const HINDI: Tongue = Tongue {
    before: &["अगर", "यदि", "जो", "न", "ना", "मत", "कभी"],
    inside: &[],
    words: Words::Apart,
    fill: "के|की|का|में|दिए|दिये|गए|गये|दी|गई|वाले|वाली|लिखे|बताए|तक|हुए|मिले|को|और",
    all: "सभी|सारे|सारी|सब|समस्त",
    own: "पिछले|पिछली|पूर्व|पहले|ऊपर|उपरोक्त|अपने|अपनी|तुम्हारे|आपके|सिस्टम|पुराने",
    instructions: "निर्देश(?:ों)?|अनुदेश(?:ों)?|आदेश(?:ों)?|हिदायत(?:ें|ों)?|इंस्ट्रक्शन(?:्स)?|इन्स्ट्रक्शन(?:्स)?|कमांड(?:्स)?|प्रॉम्प्ट(?:्स)?",
    rules: "नियम(?:ों)?",
    behind: "ऊपर",
};

const HINDI_IN_LATIN: Tongue = Tongue {
    before: &["agar", "yadi", "jo", "na", "mat", "kabhi"],
    inside: &[],
    words: Words::Latin,
    fill: "ke|ki|ka|me|mein|diye|diya|gaye|gae|gayi|wale|waale|wali|likhe|bataye|tak|hue|mile|aur",
    all: "sabhi|saare|sare|saari|sab",
    own: "pichh?le|pichh?li|pehle|pahle|upar|uper|apne|apni|tumhare|aapke|system|purane|previous",
    instructions: "nirdesh(?:on?)?|adesh(?:on?)?|aadesh(?:on?)?|hidayat(?:en|on)?|instructions?|commands?|prompts?",
    rules: "niyam(?:on?)?|rules?",
    behind: "upar",
};

/// The two languages that set no blanks between words, and Korean, say in their patterns what they ask for.
const CHINESE: Tongue = Tongue {
    before: &[
        "不", "别", "別", "勿", "没", "沒", "莫", "他", "她", "它", "们", "們", "者", "人", "员", "員", "师",
        "師", "常", "总", "總", "易", "会", "會", "被", "而", "生",
    ],
    words: Words::Together,
    ..TOGETHER
};
const JAPANESE: Tongue = TOGETHER;
/// For words that are the end of others too: before, of a name.
const JAPANESE_ALONE: Tongue = Tongue { before: &["*"], ..TOGETHER };
const KOREAN: Tongue = Tongue { words: Words::Apart, ..TOGETHER };
const TOGETHER: Tongue = Tongue {
    before: &[],
    inside: &[],
    words: Words::Together,
    fill: "",
    all: "",
    own: "",
    instructions: "",
    rules: "",
    behind: "",
};

/// What a Japanese order ends with that begins as what was done also does.
macro_rules! japanese_request {
    () => {
        concat!(
            r#"(?:(?:しまって)?(?:ください|下さい|くれ|ほしい|欲しい|ね|よ|もらえ|いただ|頂)|[。！!.．\n」』"]|$"#,
            r"|^(?:ください|下さい|なさい|せよ|しろ|くれ|教えて|答えて|見せて|示して|ほしい))"
        )
    };
}

/// What follows the word that makes instructions the model's in Japanese.
macro_rules! japanese_order {
    () => {
        concat!(
            "(?:すべての|全ての|全部の|あらゆる|一切の|システムの?|あなたへの|会話の|受けた|[ \\n]){0,3}",
            "(?:指示|命令|指令|プロンプト|制約)(?:事項|文|内容|など|等|たち)?",
            "(?:を|は|も|に|には|については|に関しては)?(?:すべて|全て|全部|一切|完全に|いったん|一旦|今すぐ|絶対に|もう|、|[ \\n]){0,3}",
            "(?:(?:無視|破棄)(?:して",
            japanese_request!(),
            "|しろ|せよ|しなさい|するように|すること)",
            "|(?:忘れて|取り消して)",
            japanese_request!(),
            "|忘れ(?:ろ|なさい|るように|ること)|従(?:わないで|わなくて(?:いい|よい|良い)|うな))",
        )
    };
}

/// What a Korean order ends with that begins as what was done also does.
macro_rules! korean_request {
    () => {
        r"^(?:세요|십시오|시오|줘|주라|해라|하라|알려|보여|말해|출력해|대답해|답해|공개해|보내)"
    };
}

const fn orders(tongue: &'static Tongue, keywords: &'static [&'static str], pattern: &'static str) -> Phrase {
    Phrase { name: INJECTION, keywords, pattern, tongue: Some(tongue) }
}

/// The families.
pub(super) const PHRASES: &[Phrase] = &[
    orders(
        &SPANISH,
        &["ignor", "olvid", "descart", "desatiend", "desestim"],
        "(?:ar|a|e|en|ad|es|emos|ate|ese|ense)?&",
    ),
    orders(
        &SPANISH,
        &[
            "omite",
            "omita",
            "haz caso omiso",
            "haga caso omiso",
            "hagan caso omiso",
            "no hagas caso",
            "no haga caso",
            "no sigas",
            "no siga",
            "no tengas en cuenta",
            "no tenga en cuenta",
            "no obedezcas",
        ],
        "n?&",
    ),
    orders(&PORTUGUESE, &["ignor", "esquec", "desconsider", "desprez"], "(?:ar|a|e|er|em|am|es)?(?:~se)?&"),
    orders(
        &PORTUGUESE,
        &["nao siga", "nao obedeca", "nao leve em conta", "nao tenha em conta", "nao considere"],
        "[sm]?&",
    ),
    orders(&FRENCH, &["ignor", "oubli", "neglig"], "(?:e|ez|er|ons|es)&"),
    orders(
        &FRENCH,
        &[
            "ne tiens pas compte",
            "ne tenez pas compte",
            "ne tiens aucun compte",
            "ne tenez aucun compte",
            "fais abstraction",
            "faites abstraction",
            "ne suis pas",
            "ne suivez pas",
            "n'obeis pas",
            "ne respecte pas",
            "ne respectez pas",
        ],
        "&",
    ),
    orders(&ITALIAN, &["ignor", "dimentic", "scord", "trascur", "tralasci"], "(?:a|i|are|ate|hi|ati)&"),
    orders(
        &ITALIAN,
        &[
            "non tenere conto",
            "non tenga conto",
            "non tenete conto",
            "non seguire",
            "non segua",
            "non seguite",
        ],
        "&",
    ),
    orders(&GERMAN, &["ignorier", "missacht", "verwirf", "ubergeh", "verwerfe"], "(?:e|et|t|en~sie|n~sie)?&"),
    orders(&GERMAN, &["vergiss", "vergesst", "vergessen sie"], "&"),
    orders(
        &GERMAN_DENIED,
        &["beachte", "befolge", "folge"],
        r"(?:n~sie)?(?:~nicht&|&~nicht(?-u:\s*)(?:mehr(?-u:\s*))?(?:[.!;,:\n]|und|$))",
    ),
    orders(&GERMAN, &["setze", "setzen sie"], "&~(?:ausser|außer)~kraft"),
    orders(
        &GERMAN,
        &["vorherigen", "vorigen", "bisherigen", "obigen", "fruheren", "vorangegangenen"],
        "~#(?:~(?:bitte|sofort|nun|jetzt|ab|komplett|vollstandig|alle|allesamt|einfach)){0,3}~(?:ignorieren|vergessen|missachten|verwerfen)",
    ),
    orders(&DUTCH, &["negeer", "negeert", "vergeet", "negeren aub"], "&"),
    orders(&DUTCH_DENIED, &["volg", "sla"], "&~(?:niet(?:~(?:op|meer))?(?-u:\\s*)(?:[.!;,:\\n]|en|$)|over)"),
    orders(&DUTCH, &["volg niet", "sla geen acht op"], "&"),
    orders(
        &DUTCH,
        &["vorige", "eerdere", "voorgaande", "bovenstaande", "voorafgaande"],
        "~#(?:~(?:aub|nu|meteen|volledig|allemaal)){0,3}~(?:negeren|vergeten)",
    ),
    orders(
        &POLISH,
        &["zignoruj", "ignoruj", "zapomnij", "pomin", "odrzuc", "zignorowac", "zapomniec"],
        "(?:cie)?&",
    ),
    orders(
        &POLISH,
        &["nie zwracaj uwagi", "nie zwracajcie uwagi", "nie stosuj sie", "nie przestrzegaj", "nie wykonuj"],
        "&",
    ),
    orders(
        &TURKISH,
        &["onceki", "yukaridaki", "tum", "butun"],
        concat!(
            "(?:~(?:tum|butun|onceki|yukaridaki|verilen|sistem|bu|her)){0,3}~#",
            "(?:~(?:hepsini|tumunu|tamamini|butununu|lutfen|simdi|artik|hemen|tamamen)){0,3}",
            "~(?:yok~say(?:in|iniz)?|unut(?:un|unuz)?|gormezden~gel(?:in|iniz)?|dikkate~alma(?:yin|yiniz)?",
            "|goz~ardi~et(?:in|iniz)?|uyma(?:yin|yiniz)?|takip~etme(?:yin|yiniz)?)"
        ),
    ),
    orders(&RUSSIAN, &["игно", "прои"], "(?:гно)?рир(?:уй(?:те)?|овать)&"),
    orders(&RUSSIAN, &["забу"], "дь(?:те)?&"),
    orders(&RUSSIAN, &["отбр", "отме", "прен"], "(?:ось|ни|ебреги)(?:те)?&"),
    orders(
        &RUSSIAN,
        &["не о", "не с", "не в", "не п"],
        "(?:бращай(?:те)?%внимания|ледуй(?:те)?|лушай(?:те)?|лушайся|облюдай(?:те)?|ыполняй(?:те)?|одчиняй(?:ся|тесь))&",
    ),
    orders(
        &RUSSIAN,
        &["пред", "преж"],
        "(?:ыдущ(?:ие|их)|н(?:ие|их))%#(?:%(?:полностью|пожалуйста|теперь|просто)){0,2}%(?:про)?(?:игнорируй(?:те)?|игнорировать|забудь(?:те)?|отмени(?:те)?|не%(?:выполняй|соблюдай)(?:те)?)",
    ),
    orders(
        &CHINESE,
        &[
            "忽略",
            "忽视",
            "忽視",
            "无视",
            "無視",
            "忘记",
            "忘記",
            "忘掉",
            "不要理会",
            "不要理會",
            "不用理会",
            "不要管",
            "不要遵循",
            "不要遵守",
            "不要听从",
            "停止遵循",
            "停止遵守",
            "抛开",
            "拋開",
            "撇开",
            "丢弃",
            "舍弃",
        ],
        concat!(
            "[ \\n]{0,2}(?:掉|到|在|此|这些|那些|一切|任何|全部|所有|你|您|我|中|，|关于|[ \\n]){0,5}(?:",
            "(?:(?:之前|以前|先前|前面|上述|以上|上面|此前|原有|原先|原来|原來|既有|既定|现有|現有|当前|當前|过去|過去|所有|全部|一切|任何|系统|系統|你的|您的|初始)",
            "(?:的|你|您|我|给|給|说|說|收到|到|所有|全部|一切|任何|这些|那些|系统|系統|指定|安全|用户|对话|过|過|[ \\n]){0,6}",
            "(?:指令|指示|提示词|提示詞|命令|指南))",
            "|(?:系统|系統)(?:提示|设定|設定)",
            "|(?:你的|您的|你所有的|系统的|系統的)(?:系统|系統|初始|原始|所有|安全|全部){0,2}(?:规则|規則|设定|設定|限制|约束|約束))",
        ),
    ),
    orders(
        &CHINESE,
        &["把之前的", "将之前的", "將之前的", "把以上", "将以上", "把上面的", "将上面的", "把先前的"],
        "(?:的|所有|全部|一切|你|我|给|的){0,3}(?:指令|指示|提示词|提示詞|命令)(?:都|全部|全都|通通|统统){0,2}(?:忽略|无视|無視|忘掉|忘记|忘記|抛开|丢弃)",
    ),
    orders(
        &JAPANESE,
        &[
            "以前の",
            "これまでの",
            "ここまでの",
            "今までの",
            "上記の",
            "上述の",
            "先ほどの",
            "先程の",
            "過去の",
            "直前の",
            "すべての",
            "全ての",
            "あなたの",
            "あなたへの",
            "既存の",
            "従来の",
            "システムの",
        ],
        japanese_order!(),
    ),
    orders(&JAPANESE_ALONE, &["前の", "先の", "上の"], japanese_order!()),
    orders(
        &KOREAN,
        &["이전", "위의", "앞의", "앞선", "기존", "모든", "너의", "당신의", "지금까지", "이제까지", "상기"],
        concat!(
            "의?(?:%(?:들은|받은|주어진|내린|내가|준|모든|모두|전체|시스템|대화의|이전의?|너의|당신의)){0,3}%",
            "(?:지시|명령|지침|프롬프트)(?:어|문|들|내용|사항|%사항)?(?:들)?(?:을|를|은|는|도|에)?",
            "(?:%(?:모두|전부|다|절대|절대로|완전히|그냥|싹|무조건|더%?이상)){0,3}%",
            "(?:무시(?:해(?:요|라|줘(?:요)?|%?주(?:세요|십시오))?|하(?:세요|십시오|시오|라|길%바랍니다|기%바랍니다|고",
            korean_request!(),
            "))|잊(?:어(?:라|요|줘|버려(?:라|요)?|%?주세요)?|으(?:세요|십시오|라)|(?:어버리)?고",
            korean_request!(),
            ")|따르지%(?:마(?:세요|십시오|시오|라)?|말(?:아(?:라|요|줘)?|고",
            korean_request!(),
            ")))",
        ),
    ),
    orders(
        &ARABIC,
        &["تجاهل", "وتجاهل", "فتجاهل", "أهمل", "اهمل", "انس", "وانس", "إنس", "الرجاء تجاهل"],
        "(?:وا|ي|ى|َ)?&",
    ),
    orders(
        &ARABIC,
        &["لا تتبع", "لا تلتفت", "لا تلتزم", "لا تطع", "لا تنفذ", "توقف عن اتباع"],
        "(?:وا|ي)?(?:%(?:إلى|الى|ب))?&",
    ),
    orders(
        &HINDI,
        &["पिछले", "पिछली", "सभी", "सारे", "पूर्व", "पहले", "ऊपर", "उपरोक्त", "अपने", "अपनी"],
        concat!(
            "(?:%(?:के|की|में|दिए|दिये|गए|गये|दी|गई|वाले|वाली|लिखे|बताए|तक|सभी|सारे|सारी|सब|समस्त|पिछले|पिछली|पहले|पूर्व|अपने|सिस्टम)){0,5}",
            "%#(?:%(?:को|की|का|के|पर|से|पूरी|तरह|बिल्कुल|तुरंत)){0,3}%",
            "(?:(?:अनदेखा|अनदेखी|नज़?रअं?दाज़?|नज़?र%अंदाज़?|इग्नोर|उपेक्षा|अवहेलना)%(?:करो|करें|कीजिए|कीजिये|कर%(?:दो|दें|दीजिए)|करना)",
            "|(?:भूल|भुला)%(?:जाओ|जाएं|जाएँ|जाइए|जाइये|जा|दो|दें|दीजिए)",
            "|ध्यान%(?:मत|न)%(?:दो|दें|दीजिए|देना)|पालन%(?:मत|न)%(?:करो|करें|कीजिए|करना)|मत%मानो)",
        ),
    ),
    orders(
        &HINDI,
        &["अपने", "अपनी", "अपना"],
        "(?:%(?:सभी|सारे|सब|सिस्टम|पुराने)){0,2}%(?:नियम(?:ों)?)(?:%(?:को|की|पर)){0,1}%(?:भूल%(?:जाओ|जाएं|जाएँ|जाइए)|अनदेखा%(?:करो|करें))",
    ),
    orders(
        &HINDI_IN_LATIN,
        &[
            "pichle", "pichhle", "pichli", "pichhli", "pehle", "pahle", "upar", "apne", "sabhi", "saare",
            "sare", "previous", "purane",
        ],
        concat!(
            "(?:~(?:ke|ki|ka|me|mein|diye|gaye|gae|gayi|wale|waale|wali|likhe|bataye|tak|sabhi|saare|sare|sab|pichh?le|pichh?li|pehle|apne|system|previous)){0,5}",
            "~#(?:~(?:ko|ki|ka|pe|par|se|puri|poori|tarah|bilkul)){0,3}~",
            "(?:(?:ignore|andekha|andekhi|nazar~?andaa?z|upeksha)~(?:karo|karen|karein|kare|kar~do|kar~den|kar~dijiye|kijiye|karna)",
            "|bh(?:oo|u)l~(?:ja|jao|jaao|jaiye|jaen)|bhula~(?:do|dijiye)",
            "|dhyan~(?:mat|na)~(?:do|den|dena)|(?:follow|palan)~(?:mat|na)~(?:karo|karen|karna)|mat~mano)",
        ),
    ),
    orders(
        &HINDI_IN_LATIN,
        &["apne", "apni"],
        "(?:~(?:sabhi|saare|sare|sab|system|purane)){0,2}~(?:rules?|niyam)(?:~(?:ko|pe|par))?~(?:bh(?:oo|u)l~(?:jao|jaao|jaiye)|ignore~(?:karo|kar~do))",
    ),
];
