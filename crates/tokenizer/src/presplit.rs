//! The pre-splits that `tokenizer.ggml.pre` names: one row per splitting, patterns as data.
//!
//! The patterns are those of the models' own tokenizer.json; each splits what the one before has left, matches
//! and gaps alike.

use crate::TokenizerError;
use crate::load::pattern;
use crate::pretokenize::{Behavior, Delimiter, Splitter};

const PLACE: &str = "tokenizer.ggml.pre";

/// Names of vocabularies that write spaces as signs.
const WITH_SIGNS: &[&str] = &["gemma4", "granite-embed-multi-311m", "sarvam-moe", "domyn-small"];

/// One row: names that mean the same splitting.
struct PreSplit {
    names: &'static [&'static str],
    patterns: &'static [&'static str],
    /// A word that is a token is not split.
    ignore_merges: bool,
    /// BOS is put first unless the file says otherwise.
    add_bos: bool,
    /// Where digits are cut into groups of three from the right.
    threes: Option<Threes>,
}

/// When, and which, digits are cut into groups of three from the right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Threes {
    /// Before the patterns; with `whole`, only digits that no letter follows.
    Before { whole: bool },
    /// In what the patterns have left.
    After,
}

/// GPT-2's pattern, also that of `ByteLevel` in tokenizer.json.
pub(crate) const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const JAIS2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}";
const MINICPM5: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const BAILING: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";
const SEED_CODER: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";
const UFAKZEKA: &str = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const EXAONE_MOE: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const YOUTU: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const YOUTU_CJK: &str = "[\u{AC00}-\u{D7A3}\u{3131}-\u{318E}]+|[！…“”‘’—：；，、\u{3001}-\u{303F}\u{FE30}-\u{FE4F}]+|[\u{3105}-\u{312F}]+|[\u{4E00}-\u{9FA5}\u{3040}-\u{30FF}]+";
const DEEPSEEK3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
const CJK: &str = "[\u{4E00}-\u{9FA5}\u{3040}-\u{30FF}]+";
const DEEPSEEK_CJK: &str = "[\u{4E00}-\u{9FA5}\u{800}-\u{4E00}\u{AC00}-\u{D7FF}]+";
/// Letters with case, as of the Unicode version that the model was made with.
const DEEPSEEK_LETTERS: &str = "\\s?[A-Za-z\
    \u{B5}\u{C0}-\u{D6}\u{D8}-\u{F6}\u{F8}-\u{1BA}\u{1BC}-\u{1BF}\u{1C4}-\u{293}\u{295}-\u{2AF}\
    \u{370}-\u{373}\u{376}\u{377}\u{37B}-\u{37D}\u{37F}\u{386}\u{388}-\u{38A}\u{38C}\u{38E}-\u{3A1}\
    \u{3A3}-\u{3F5}\u{3F7}-\u{481}\u{48A}-\u{52F}\u{531}-\u{556}\u{10A0}-\u{10C5}\u{13A0}-\u{13F5}\
    \u{13F8}-\u{13FD}\u{1C90}-\u{1CBA}\u{1CBD}-\u{1CBF}\u{1D00}-\u{1D2B}\u{1D6B}-\u{1D77}\
    \u{1D79}-\u{1D9A}\u{1E00}-\u{1F15}\u{1F18}-\u{1F1D}\u{1F20}-\u{1F45}\u{1F48}-\u{1F4D}\
    \u{1F50}-\u{1F57}\u{1F59}\u{1F5B}\u{1F5D}\u{1F5F}-\u{1F7D}\u{1F80}-\u{1FB4}\u{1FB6}-\u{1FBC}\u{1FBE}\
    \u{1FC2}-\u{1FC4}\u{1FC6}-\u{1FCC}\u{1FD0}-\u{1FD3}\u{1FD6}-\u{1FDB}\u{1FE0}-\u{1FEC}\
    \u{1FF2}-\u{1FF4}\u{1FF6}-\u{1FFC}\u{2102}\u{2107}\u{210A}-\u{2113}\u{2115}\u{2119}-\u{211D}\u{2124}\
    \u{2126}\u{2128}\u{212A}-\u{212D}\u{212F}-\u{2134}\u{2139}\u{213C}-\u{213F}\u{2145}-\u{2149}\u{214E}\
    \u{2183}\u{2184}\u{2C00}-\u{2C7B}\u{2C7E}-\u{2CE4}\u{2CEB}-\u{2CEE}\u{2CF2}\u{2CF3}\u{A640}-\u{A66D}\
    \u{A680}-\u{A69B}\u{A722}-\u{A76F}\u{A771}-\u{A787}\u{A78B}-\u{A78E}\u{AB70}-\u{ABBF}\
    \u{FB00}-\u{FB06}\u{FB13}-\u{FB17}\u{FF21}-\u{FF3A}\u{FF41}-\u{FF5A}\u{10400}-\u{1044F}\
    \u{104B0}-\u{104D3}\u{104D8}-\u{104FB}\u{10C80}-\u{10CB2}\u{10CC0}-\u{10CF2}\u{118A0}-\u{118DF}\
    \u{1E900}-\u{1E943}\
    ]+";
const DEEPSEEK_SIGNS: &str = "\\s?[!-/:-~！-／：-～\u{2018}-\u{201F}\u{3000}-\u{3002}]+";
const TEKKEN_NUM3: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const FLINT: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const SPARK25: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+"##;
const K2_HORIZON: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}\x{200C}\x{200D}]+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const KIMI_K2: &str = r"\p{Han}+|[^\r\n\p{L}\p{N}]?[[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]--\p{Han}]*[[\p{Ll}\p{Lm}\p{Lo}\p{M}]--\p{Han}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]--\p{Han}]+[[\p{Ll}\p{Lm}\p{Lo}\p{M}]--\p{Han}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const AFMOE_CJK: &str = "[\u{4E00}-\u{9FFF}\u{3400}-\u{4DBF}\u{F900}-\u{FAFF}\u{3040}-\u{309F}\u{30A0}-\u{30FF}\u{FF65}-\u{FF9F}\u{2F00}-\u{2FDF}\u{E40}-\u{E7F}\u{E80}-\u{EFF}\u{1780}-\u{17FF}\u{1000}-\u{109F}\u{AA60}-\u{AA7F}\u{A9E0}-\u{A9FF}\u{AC00}-\u{D7AF}\u{1100}-\u{11FF}]+";
const BLOOM: &str = r" ?[^(\s|.,!?…。，、।۔،)]+";

const TABLE: &[PreSplit] = &[
    row(&["default"], &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"]),
    row(
        &[
            "gpt-2",
            "gpt2",
            "phi-2",
            "jina-es",
            "jina-de",
            "jina-v2-es",
            "jina-v2-de",
            "jina-v1-en",
            "jina-v2-code",
            "roberta-bpe",
            "gigachat",
            "a.x-4.0",
            "mellum",
            "modern-bert",
            "exaone4",
            "mpt",
            "olmo",
            "jais",
            "trillion",
            "granite-docling",
        ],
        &[GPT2],
    ),
    PreSplit {
        ignore_merges: true,
        add_bos: true,
        ..row(
            &[
                "llama3",
                "llama-v3",
                "llama-bpe",
                "falcon3",
                "falcon-h1",
                "pixtral",
                "midm-2.0",
                "lfm2",
                "jina-v5-nano",
            ],
            &[LLAMA3],
        )
    },
    row(&["dbrx", "smaug-bpe", "glm4", "chatglm-bpe"], &[LLAMA3]),
    PreSplit { ignore_merges: true, ..row(&["glm5"], &[LLAMA3]) },
    row(&["k2-horizon"], &[K2_HORIZON]),
    row(&["kimi-k2"], &[KIMI_K2]),
    row(&["flint"], &[r"\p{N}{1,3}", CJK, FLINT]),
    row(&["spark2_5"], &[r"\p{N}{1,3}", CJK, SPARK25, r"\p{N}"]),
    PreSplit { threes: Some(Threes::Before { whole: false }), ..row(&["afmoe"], &[AFMOE_CJK, DEEPSEEK3]) },
    PreSplit { threes: Some(Threes::Before { whole: true }), ..row(&["tiny_aya", "cohere2moe"], &[GPT4O]) },
    PreSplit { threes: Some(Threes::After), ..row(&["superbpe"], &[r"\p{N}+"]) },
    row(
        &[
            "qwen2",
            "deepseek-r1-qwen",
            "kormo",
            "f2llmv2",
            "megrez",
            "stablelm2",
            "hunyuan",
            "solar-open",
            "grok-2",
        ],
        &[QWEN2],
    ),
    row(&["qwen35"], &[QWEN35]),
    row(&["laguna"], &[r"[^\n]+|[\n]+", QWEN2]),
    row(&["jais-2"], &[JAIS2]),
    PreSplit { ignore_merges: true, ..row(&["minicpm5"], &[r"\p{N}{1,3}", MINICPM5]) },
    row(&["bailingmoe", "bailingmoe2", "llada-moe"], &[BAILING]),
    row(&["seed-coder"], &[SEED_CODER]),
    row(&["ufakzeka"], &[UFAKZEKA]),
    row(&["exaone-moe"], &[EXAONE_MOE]),
    PreSplit { ignore_merges: true, add_bos: true, ..row(&["tekken", "nemotron-3.5-embed"], &[TEKKEN]) },
    PreSplit {
        ignore_merges: true,
        add_bos: true,
        threes: Some(Threes::After),
        ..row(&["tekken-num3"], &[TEKKEN_NUM3])
    },
    row(&["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"], &[GPT4O]),
    PreSplit { ignore_merges: true, ..row(&["granite-embed-multi-97m"], &[GPT4O]) },
    PreSplit { ignore_merges: true, ..row(&["youtu"], &[YOUTU_CJK, YOUTU]) },
    row(&["deepseek-llm"], &[r"[\r\n]", DEEPSEEK_LETTERS, DEEPSEEK_SIGNS, r"\s+$", DEEPSEEK_CJK, r"\p{N}+"]),
    row(&["deepseek-coder"], &[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", DEEPSEEK_CJK, r"\p{N}"]),
    row(&["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"], &[r"\p{N}{1,3}", CJK, DEEPSEEK3]),
    row(&["falcon"], &[r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"]),
    row(
        &["starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2"],
        &[r"\p{N}", GPT2],
    ),
    row(&["poro-chat", "bloom", "gpt3-finnish"], &[BLOOM]),
    row(&["viking"], &[BLOOM, r"\p{N}"]),
    PreSplit {
        add_bos: true,
        ..row(
            &["chameleon"],
            &[
                "<sentinel:[0-9]+>",
                "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
                r"([\t\n]|    |  )",
                r"\p{N}",
                r"[\p{P}!-/:-@\[-`{-~]",
                GPT2,
            ],
        )
    },
];

const fn row(names: &'static [&'static str], patterns: &'static [&'static str]) -> PreSplit {
    PreSplit { names, patterns, ignore_merges: false, add_bos: false, threes: None }
}

/// A pre-split ready for use.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) splitters: Vec<Splitter>,
    pub(crate) ignore_merges: bool,
    pub(crate) add_bos: bool,
}

/// The pre-split called `name`.
pub(crate) fn find(name: &str) -> Result<Found, TokenizerError> {
    let row = row_of(name)?;
    let mut splitters = row.patterns.iter().map(|source| split(source)).collect::<Result<Vec<_>, _>>()?;
    match row.threes {
        Some(Threes::Before { whole }) => splitters.insert(0, Splitter::Threes { whole }),
        Some(Threes::After) => splitters.push(Splitter::Threes { whole: false }),
        None => {}
    }
    splitters.push(Splitter::ByteLevel { add_prefix_space: false, pattern: None });
    Ok(Found { splitters, ignore_merges: row.ignore_merges, add_bos: row.add_bos })
}

/// The pattern of the row called `name`, which has but one.
pub(crate) fn only_pattern(name: &str) -> Result<&'static str, TokenizerError> {
    match row_of(name)?.patterns {
        [only] => Ok(only),
        _ => Err(TokenizerError::Missing { what: "a single pattern", needed_by: "a file of ranks" }),
    }
}

/// Lines, and the ends of lines.
pub(crate) const LINES: &str = r"[^\n]+|[\n]+";

/// The splitting of models that write spaces as signs.
pub(crate) fn lines() -> Result<Vec<Splitter>, TokenizerError> {
    Ok(vec![split(LINES)?])
}

/// The patterns of the row called `name`, and whether a word that is a token is not split; `None` where there is more to it, or a pattern
/// that other programs do not know.
pub(crate) fn patterns(name: &str) -> Option<(&'static [&'static str], bool)> {
    let row = TABLE.iter().find(|row| row.names.contains(&name))?;
    let is_common = row.threes.is_none() && row.patterns.iter().all(|pattern| !pattern.contains("--"));
    is_common.then_some((row.patterns, row.ignore_merges))
}

/// Whether `tokenizer.ggml.pre` names a vocabulary that writes spaces as signs and not in GPT-2's alphabet.
pub(crate) fn writes_signs(name: &str) -> bool {
    WITH_SIGNS.contains(&name)
}

fn split(source: &str) -> Result<Splitter, TokenizerError> {
    let delimiter = Delimiter::Pattern(Box::new(pattern(PLACE, source)?));
    Ok(Splitter::Split { delimiter, behavior: Behavior::Isolated, invert: false })
}

fn row_of(name: &str) -> Result<&'static PreSplit, TokenizerError> {
    TABLE.iter().find(|row| row.names.contains(&name)).ok_or_else(|| TokenizerError::Unknown {
        place: PLACE,
        found: crate::error::excerpt(name.as_bytes()),
        known: names().chain(WITH_SIGNS.iter().copied()).collect::<Vec<_>>().join(", "),
    })
}

/// The first name of every row, and whether a word that is a token is not split there.
pub(crate) fn rows() -> impl Iterator<Item = (&'static str, bool)> {
    TABLE.iter().filter_map(|row| Some((*row.names.first()?, row.ignore_merges)))
}

/// All names that [`find`] knows.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().flat_map(|row| row.names.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pretokenize::{PreTokenizer, Word};

    fn words(name: &str, text: &str) -> Vec<String> {
        let splitter = PreTokenizer(find(name).unwrap().splitters);
        let mut words = Vec::new();
        splitter.split(Word { text, first: true, byte_chars: false }, &mut |word| {
            words.push(word.text.to_owned())
        });
        words
    }

    #[test]
    fn every_row_compiles_and_loses_nothing() {
        let text = "I'LL pay  $1,234,567.89 — Größe\n\n\t日本語のテスト한국어 ‟x…  ";
        let mut seen = std::collections::HashSet::new();
        for name in names() {
            assert!(seen.insert(name), "{name} stands twice");
            assert_eq!(words(name, text).concat(), text, "{name}");
        }
    }

    #[test]
    fn rows_differ_where_their_models_do() {
        assert_eq!(words("gpt-2", "x12345'LL"), ["x", "12345", "'", "LL"]);
        assert_eq!(words("llama3", "x12345'LL"), ["x", "123", "45", "'LL"]);
        assert_eq!(words("qwen2", "x123"), ["x", "1", "2", "3"]);
        assert_eq!(words("falcon", "a12345!"), ["a", "123", "45", "!"]);
        assert_eq!(words("starcoder", "a 12"), ["a", " ", "1", "2"]);
        assert_eq!(words("tekken", "helloWorld"), ["hello", "World"]);
        assert_eq!(words("gpt-4o", "HTTPServer's"), ["HTTPServer's"]);
        assert_eq!(words("deepseek-v3", "a1234日本!x"), ["a", "123", "4", "日本", "!x"]);
        assert_eq!(words("deepseek-coder", " ab\n12"), [" ab", "\n", "1", "2"]);
        assert_eq!(words("deepseek-llm", "Größe ώς 12日本"), ["Gr", "öß", "e", " ώς", " ", "12", "日本"]);
        assert_eq!(words("tekken-num3", "a1234567  12"), ["a", "1", "234", "567", " ", " ", "12"]);
        assert_eq!(words("superbpe", "x 12345y"), ["x ", "12", "345", "y"]);
        assert_eq!(words("tiny_aya", "1234 1234x"), ["1", "234", " ", "123", "4", "x"]);
        assert_eq!(words("afmoe", "a1234x日本"), ["a", "1", "234", "x", "日本"]);
        assert_eq!(words("kimi-k2", "日本語ab'S 1234"), ["日本語", "ab'S", " ", "123", "4"]);
        assert_eq!(words("bloom", "a (b, c"), ["a", " (", "b", ",", " c"]);
        assert_eq!(words("jais-2", &format!("{}x", " ".repeat(7))), ["    ", "  ", " x"]);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = find("nonesuch").unwrap_err().to_string();
        assert!(
            error.contains("nonesuch") && error.contains("llama-bpe") && error.contains("falcon"),
            "{error}"
        );
    }
}
