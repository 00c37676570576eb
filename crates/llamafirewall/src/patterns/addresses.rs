//! Addresses of mail, also in the letters of other languages (RFC 5321, 6531) and with quotation marks.

use super::personal::is_word;
use std::ops::Range;

pub(super) const ADDRESS: &str = "Email address";
/// Longest local part and domain of an address (RFC 5321).
const LONGEST_LOCAL: usize = 64;
const LONGEST_DOMAIN: usize = 255;
/// The same where nothing tells letters of the name from those before it, and within quotation marks.
const LONGEST_UNSPACED: usize = 12;
const LONGEST_QUOTED: usize = 32;
/// Top-level domains in other letters than Latin (IANA).
const TOP: &[&str] = &[
    "рф",
    "рус",
    "бел",
    "укр",
    "мкд",
    "срб",
    "бг",
    "ею",
    "қаз",
    "мон",
    "москва",
    "онлайн",
    "сайт",
    "орг",
    "дети",
    "ком",
    "католик",
    "ελ",
    "ευ",
    "հայ",
    "გე",
    "中国",
    "中國",
    "公司",
    "网络",
    "网址",
    "网站",
    "网店",
    "在线",
    "香港",
    "台湾",
    "台灣",
    "澳門",
    "新加坡",
    "手机",
    "集团",
    "商城",
    "商店",
    "商标",
    "我爱你",
    "中文网",
    "中信",
    "企业",
    "机构",
    "组织机构",
    "慈善",
    "政务",
    "政府",
    "公益",
    "移动",
    "信息",
    "游戏",
    "娱乐",
    "时尚",
    "健康",
    "招聘",
    "购物",
    "餐厅",
    "世界",
    "广东",
    "佛山",
    "한국",
    "삼성",
    "닷컴",
    "닷넷",
    "みんな",
    "コム",
    "ストア",
    "グーグル",
    "セール",
    "クラウド",
    "السعودية",
    "مصر",
    "امارات",
    "ایران",
    "پاکستان",
    "المغرب",
    "الجزائر",
    "تونس",
    "عمان",
    "قطر",
    "سورية",
    "فلسطين",
    "الاردن",
    "بھارت",
    "عراق",
    "البحرين",
    "سودان",
    "موريتانيا",
    "مليسيا",
    "شبكة",
    "موقع",
    "بازار",
    "كوم",
    "عرب",
    "भारत",
    "संगठन",
    "नेट",
    "कॉम",
    "ไทย",
    "คอม",
    "ישראל",
    "קום",
    "இந்தியா",
    "இலங்கை",
    "சிங்கப்பூர்",
    "ලංකා",
    "ভারত",
    "বাংলা",
    "ভাৰত",
    "భారత్",
    "ಭಾರತ",
    "ഭാരതം",
    "ਭਾਰਤ",
    "ભારત",
    "ଭାରତ",
    "ابوظبي",
    "السعوديه",
    "السعودیة",
    "السعودیۃ",
    "اليمن",
    "ايران",
    "بارت",
    "سوريا",
    "كاثوليك",
    "همراه",
    "پاكستان",
    "ڀارت",
    "भारतम्",
    "भारोत",
    "ファッション",
    "ポイント",
    "アマゾン",
    "亚马逊",
    "八卦",
    "天主教",
    "大拿",
    "家電",
    "微博",
    "新闻",
    "書籍",
    "淡马锡",
    "澳门",
    "点看",
    "联通",
    "臺灣",
    "谷歌",
    "通販",
    "食品",
    "飞利浦",
    "ລາວ",
];

fn is_local(c: char) -> bool {
    is_letter(c) || "._%+-'".contains(c)
}

/// A letter or a digit of any language, or a mark on one.
fn is_letter(c: char) -> bool {
    let is_mark = matches!(c, '\u{300}'..='\u{36f}' | '\u{900}'..='\u{963}' | '\u{966}'..='\u{dff}');
    c.is_alphanumeric() || is_mark || is_unspaced(c)
}

/// A letter of a script that sets no blanks between words, or of Korean, which sets none before what stands behind a word.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{e01}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3005}'..='\u{3007}'
        | '\u{3041}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}')
}

/// The address around the `@` at `at`, and where one could begin that more text completes.
pub(super) fn address(text: &str, at: usize) -> (Option<Range<usize>>, Option<usize>) {
    let bytes = text.as_bytes();
    let Some(start) = local(text, at) else { return (None, None) };
    let is_domain = |c: &char| is_letter(*c) || matches!(c, '.' | '-');
    let mut length = 0;
    for c in text[at + 1..].chars().take_while(is_domain) {
        if length + c.len_utf8() > LONGEST_DOMAIN {
            break;
        }
        length += c.len_utf8();
    }
    let domain = &text[at + 1..at + 1 + length];
    let rest = &bytes[at + 1 + length..];
    let open = (rest.is_empty() || rest == b":").then_some(start);
    // Whoever is called so is a repository, and a path behind a colon is one on another machine.
    let name = text[start..at].rsplit('\'').next().unwrap_or_default();
    let is_remote = name.eq_ignore_ascii_case("git")
        || matches!(rest, [b':', b'~' | b'/', ..])
        || is_login(&bytes[..start]);
    // Two points in a row, or one at the beginning, are in no domain.
    let domain = domain.split("..").next().unwrap_or_default();
    if is_remote || !domain.starts_with(is_letter) {
        return (None, open);
    }
    let ends = domain.rmatch_indices('.').filter_map(|(dot, _)| Some(dot + 1 + top(&domain[dot + 1..])?));
    let Some(end) = ends.map(|end| at + 1 + end).next() else { return (None, open) };
    // Within quotation marks such a mark in the name is the first of them.
    let quoted = (bytes.get(end) == Some(&b'\'')).then(|| text[start..at].rfind('\'')).flatten();
    (Some(quoted.map_or(start, |quote| start + quote + 1)..end), open)
}

/// How long the top-level domain is that a label begins with: letters, one in the letters of another language, or its form in ASCII.
fn top(label: &str) -> Option<usize> {
    let ascii = |has: fn(&u8) -> bool| label.bytes().take_while(has).count();
    if label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("xn--")) {
        let length = ascii(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
        let length = label[..length].trim_end_matches('-').len();
        return (length > 4).then_some(length);
    }
    let letters = ascii(u8::is_ascii_alphabetic);
    if letters > 0 {
        let goes_on = label.as_bytes().get(letters).copied().is_some_and(is_word);
        return (letters >= 2 && !goes_on && !names_file(&label.as_bytes()[..letters])).then_some(letters);
    }
    TOP.iter().filter_map(|known| begins(label, known)).max()
}

/// How long a known name is in a label that begins with it, in either case, and has no more letters of its script.
fn begins(label: &str, known: &str) -> Option<usize> {
    let mut letters = label.char_indices();
    let is = |(_, c): (usize, char), of: char| c == of || c.to_lowercase().eq([of]);
    let has_all = known.chars().all(|of| letters.next().is_some_and(|c| is(c, of)));
    let next = letters.next();
    let ends = next.is_none_or(|(_, c)| !is_letter(c) || is_unspaced(c));
    (has_all && ends).then(|| next.map_or(label.len(), |(at, _)| at))
}

/// Where the local part begins that ends at `end`.
fn local(text: &str, end: usize) -> Option<usize> {
    if let Some(start) = quoted(text, end) {
        return Some(start);
    }
    let start = unquoted(text, end);
    // Two points in a row, or one at the end, are in none; and it begins with a letter or a digit.
    let start = text[start..end].rfind("..").map_or(start, |points| start + points + 2);
    let first = text[start..end].find(|c: char| c.is_alphanumeric() || c == '_' || is_unspaced(c))?;
    (!text[..end].ends_with('.')).then_some(start + first)
}

/// Where letters and signs of a local part begin that end at `end`: of scripts with blanks between their words, or of one without.
fn unquoted(text: &str, end: usize) -> usize {
    let (mut start, mut count, mut first) = (end, 0, None);
    for c in text[..end].chars().rev() {
        let is_other = is_letter(c) && *first.get_or_insert(is_unspaced(c)) != is_unspaced(c);
        count += usize::from(is_unspaced(c));
        if !is_local(c) || is_other || end - start + c.len_utf8() > LONGEST_LOCAL || count > LONGEST_UNSPACED
        {
            break;
        }
        start -= c.len_utf8();
    }
    start
}

/// Where a local part in quotation marks begins that ends at `end` (RFC 5321, 4.1.2); in a string of JSON these have backslashes before them.
fn quoted(text: &str, end: usize) -> Option<usize> {
    let inside = text[..end].strip_suffix('"')?.trim_end_matches('\\');
    let start = opening(inside)?;
    let is_apart = !text[..start].ends_with(is_letter);
    let has_letters = text[start..end].contains(char::is_alphanumeric);
    (is_apart && has_letters).then_some(start)
}

/// Where the last quotation mark stands that may begin such a part.
fn opening(text: &str) -> Option<usize> {
    let mut start = text.len();
    for c in text.chars().rev() {
        start -= c.len_utf8();
        if c == '"' {
            return Some(start);
        }
        if text.len() - start > LONGEST_QUOTED || c.is_control() || c == '\\' {
            return None;
        }
    }
    None
}

/// The first byte of an end of `text` that an address could begin with.
pub(super) fn open_end(text: &str) -> usize {
    let quoted =
        quoted(text, text.len()).or_else(|| opening(text.trim_end_matches('\\'))).unwrap_or(text.len());
    unquoted(text, text.len()).min(quoted)
}

/// Whether what stands before is the beginning of an address of the web, in which names of users stand before `@`.
fn is_login(before: &[u8]) -> bool {
    let of_user = |byte: &&u8| byte.is_ascii_alphanumeric() || b"._%+-:".contains(byte);
    let user = before.iter().rev().take(LONGEST_LOCAL).take_while(of_user).count();
    let scheme = &before[..before.len() - user];
    scheme.ends_with(b"://") && !scheme.ends_with(b"mailto://")
}

/// Whether a name ends so that is one of a file or a unit of systemd; none of these is a domain.
fn names_file(ending: &[u8]) -> bool {
    const ENDINGS: [&str; 40] = [
        "png", "jpg", "jpeg", "gif", "svg", "webp", "avif", "bmp", "ico", "js", "mjs", "cjs", "jsx", "ts",
        "tsx", "css", "scss", "json", "yaml", "yml", "toml", "xml", "html", "htm", "txt", "log", "tgz", "gz",
        "tar", "whl", "exe", "dll", "service", "socket", "timer", "mount", "po", "pot", "sed", "header",
    ];
    ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<&str>) {
        let at = text.find('@').expect("an @");
        assert_eq!(address(text, at).0.map(|span| &text[span]), want, "{text}");
    }

    #[test]
    fn addresses_are_whole() {
        check("mail me at a@b.co.", Some("a@b.co"));
        check("USER+tag%x@SUB.DOMAIN.ORG!", Some("USER+tag%x@SUB.DOMAIN.ORG"));
        check("..x@a.example.com,", Some("x@a.example.com"));
        check("a@b.c", None);
        check("not-an-email@", None);
        check("@decorator.name", None);
        check("icon@2x.png and getty@tty1.service", None);
        check("git@github.com:owner/name.git", None);
        check("a@b.||x", None);
        check("https://0f1e2d3c4b5a69788796a5b4c3d2e1f0@o447951.ingest.sentry.io/5429219", None);
        check("redis://default:x@cache.internal:6379/0", None);
        check("root@web-01.prod.acme.dev:~# ls", None);
        check("scp a.txt ana@build.acme.dev:/tmp", None);
        check("mailto:ada@example.com", Some("ada@example.com"));
        check("http://x.org, ada@example.com: hello", Some("ada@example.com"));
    }

    #[test]
    fn letters_of_other_languages_belong_to_them() {
        for address in [
            "müller@posteo.de",
            "mu\u{308}ller@posteo.de",
            "işçi@örnek.com.tr",
            "ada@müller-büro.de",
            "用户@例子.公司",
            "δοκιμή@παράδειγμα.ελ",
            "Иван@ПОЧТА.РФ",
            "उपयोगकर्ता@उदाहरण.भारत",
            "ivan@xn--80a1acny.xn--p1ai",
            "o'brien+x@sub.example.co.uk",
            "\"ada lovelace\"@example.com",
        ] {
            for (before, after) in
                [("", ""), ("an ", ", ok"), ("<", ">"), ("：", "。"), ("(", ")"), ("a\n", "\r\n")]
            {
                check(&format!("{before}{address}{after}"), Some(address));
            }
        }
        // Where no blank stands between words.
        check("联系ada@example.comです", Some("ada@example.com"));
        check("用户@例子.公司です", Some("用户@例子.公司"));
        check("你好@用户.名字", None);
    }

    #[test]
    fn marks_of_quotation_are_no_part_of_names() {
        check("'ada@example.com'", Some("ada@example.com"));
        check("N'ada@example.com'", Some("ada@example.com"));
        check("b'git@github.com:owner/name.git'", None);
        check("{\"a\":\"ada@example.com\"}", Some("ada@example.com"));
        check(r#"{"to": "\"ada lovelace\"@example.com"}"#, Some(r#""ada lovelace\"@example.com"#));
        check("\"root\"@\"localhost\"", None);
    }

    #[test]
    fn points_in_a_row_and_files_are_in_none() {
        check(">@..H..V...@...Hc<", None);
        check("a@..b.Hc", None);
        check("H..V...@foo.com", None);
        check("see...ada@example.com...", Some("ada@example.com"));
        check("po/sr@latin.po", None);
        check("en@boldquot.header", None);
    }
}
