//! Who said what.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The person, or whatever calls in a person's name.
    User,
    /// Instructions of the application.
    System,
    /// The model.
    Assistant,
    /// The result of a tool.
    Tool,
    /// What was remembered from earlier conversations.
    Memory,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 5] = [Role::User, Role::System, Role::Assistant, Role::Tool, Role::Memory];

    /// The word that templates and policies use.
    pub fn name(self) -> &'static str {
        match self {
            Role::User => "user",
            Role::System => "system",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
            Role::Memory => "memory",
        }
    }

    /// The role of that name.
    pub fn named(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// By its name, `developer` and `function` being the system's and the tool's. Written out because serde's own says of a
/// number only that it expected a value.
impl<'de> serde::Deserialize<'de> for Role {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(RoleName)
    }
}

struct RoleName;

impl serde::de::Visitor<'_> for RoleName {
    type Value = Role;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a role: user, system (or developer), assistant, tool (or function) or memory")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Role, E> {
        let found = match name {
            "developer" => Some(Role::System),
            "function" => Some(Role::Tool),
            _ => Role::named(name),
        };
        found.ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(name), &self))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A call of a tool that a message asks for.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ToolCall {
    /// Which tool.
    pub name: String,
    /// Its arguments, as the model wrote them (JSON as a rule).
    pub arguments: String,
}

/// How what findings are seen in is called where it is a call.
pub(crate) const PARTS_OF_CALLS: [&str; 2] = ["name of a tool call", "arguments of a tool call"];

/// How what findings are seen in is called where no part of a message can be named.
pub(crate) const WHOLE: &str = "whole message";

/// How a content is read whose parts stand one behind the other.
pub(crate) const JOINED: &str = "parts joined";

/// Strings of several lines in the arguments of a call that are each scanned alone; the others are scanned together.
const MOST_ALONE: usize = 16;

impl ToolCall {
    /// What there is to scan, and where it stands: the name, the arguments as they are written, and the strings in them as the
    /// tool gets them, so that a program is read with its line breaks, also out of JSON that a string holds; the values once more without
    /// anything between them, as a tool may put them together, and once with the numbers beside them.
    pub(crate) fn readings(&self) -> Vec<(&'static str, String)> {
        let [name_of_call, arguments] = PARTS_OF_CALLS;
        let values = values(&self.arguments);
        let packed = packed(&values);
        let in_all = || std::iter::once(&values).chain(&packed);
        let all = || in_all().flatten().filter(|value| !value.is_number());
        let (mut alone, mut together): (Vec<_>, Vec<_>) =
            all().map(|value| &value.text[..]).partition(|text| text.contains('\n'));
        together.extend(alone.split_off(alone.len().min(MOST_ALONE)));
        let parts = std::iter::once(together.join("\n")).chain(alone.into_iter().map(str::to_owned));
        let of_packed: Vec<String> = packed.iter().map(|values| joined(values)).collect();
        let numbered = in_all().map(|values| joined_with_numbers(values));
        let numbered: Vec<String> = numbered.filter(|text| !text.is_empty()).collect();
        let joined = [joined(&values), of_packed.join("\n"), numbered.join("\n")];
        let parts = parts.chain(joined).filter(|text| !text.is_empty());
        let name = (name_of_call, self.name.clone());
        let whole = (arguments, self.arguments.clone());
        [whole, name].into_iter().chain(parts.map(|text| (arguments, text))).collect()
    }

    /// The strings among the values of the arguments, one behind the other.
    pub fn joined_values(&self) -> String {
        strings_of(&values(&self.arguments)).collect()
    }
}

/// A string or a number of arguments.
#[derive(Debug, PartialEq)]
struct Value {
    text: String,
    kind: ValueKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ValueKind {
    Key,
    String,
    /// Without its sign.
    Number,
}

impl Value {
    fn is_number(&self) -> bool {
        self.kind == ValueKind::Number
    }

    /// Whether a number beside it may be part of what it says.
    fn has_letters(&self) -> bool {
        !self.is_number() && self.text.contains(char::is_alphabetic)
    }
}

/// The strings in each string that holds JSON, or what resembles it, again and again. A quote in a string takes twice the signs of
/// one around it, so that this soon comes to an end.
fn packed(outer: &[Value]) -> Vec<Vec<Value>> {
    let is_packed = |string: &&Value| {
        let text = string.text.trim();
        !string.is_number()
            && text.len() > 1
            && [('{', '}'), ('[', ']'), ('"', '"')]
                .iter()
                .any(|&(open, close)| text.starts_with(open) && text.ends_with(close))
    };
    let unpacked = |outer: &[Value]| -> Vec<Vec<Value>> {
        outer
            .iter()
            .filter(is_packed)
            .map(|string| values(&string.text))
            .filter(|inner| !inner.is_empty())
            .collect()
    };
    let mut found = unpacked(outer);
    let mut done = 0;
    while done < found.len() {
        found.extend(unpacked(&found[done]));
        done += 1;
    }
    found
}

/// Values one behind the other, where there is more than one.
fn joined(values: &[Value]) -> String {
    if strings_of(values).nth(1).is_some() { strings_of(values).collect() } else { String::new() }
}

/// The same with numbers, which belong to strings with letters beside them alone: numbers one behind the other are numbers that nobody
/// gave. Empty where none does.
fn joined_with_numbers(values: &[Value]) -> String {
    let (mut text, mut has_number) = (String::new(), false);
    let mut before: Option<&Value> = None;
    for value in values.iter().filter(|value| value.kind != ValueKind::Key) {
        if let Some(before) = before.filter(|before| before.is_number() || value.is_number()) {
            let belongs = before.has_letters() || value.has_letters();
            has_number |= belongs;
            text.push_str(if belongs { "" } else { "\n" });
        }
        text.push_str(&value.text);
        before = Some(value);
    }
    if has_number { text } else { String::new() }
}

fn strings_of(values: &[Value]) -> impl Iterator<Item = &str> {
    values.iter().filter(|value| value.kind == ValueKind::String).map(|value| &value.text[..])
}

/// The quoted strings of JSON, keys among them, and the numbers, in their order; and of what is no JSON but resembles it, such as values
/// of Python: what one tool does not read, another does.
fn values(source: &str) -> Vec<Value> {
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(source).is_ok();
    let (mut out, mut rest, mut is_in_word) = (Vec::new(), source, false);
    while let Some(first) = rest.chars().next() {
        let mut chars = rest.chars();
        chars.next();
        let found = if first == '"' || first == '\'' && !is_json {
            Some((unquoted(&mut chars, first), ValueKind::String))
        } else if first.is_ascii_digit() && !is_in_word {
            let end =
                rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c)).unwrap_or(rest.len());
            chars = rest[end..].chars();
            Some((rest[..end].to_owned(), ValueKind::Number))
        } else {
            None
        };
        is_in_word = found.is_none() && first.is_alphanumeric();
        rest = chars.as_str();
        if let Some((text, kind)) = found {
            let is_key = rest.trim_start().starts_with(':');
            out.push(Value { text, kind: if is_key { ValueKind::Key } else { kind } });
        }
    }
    out
}

/// The rest of a string up to its closing quote, without its escapes.
fn unquoted(chars: &mut std::str::Chars<'_>, quote: char) -> String {
    let (mut text, mut units) = (String::new(), Vec::new());
    let flush = |units: &mut Vec<u16>, text: &mut String| {
        text.extend(char::decode_utf16(units.drain(..)).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
    };
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => match chars.next() {
                Some('u') => {
                    let rest = chars.as_str();
                    if let Some(Ok(unit)) = rest.get(..4).map(|digits| u16::from_str_radix(digits, 16)) {
                        units.push(unit);
                        *chars = rest[4..].chars();
                        continue;
                    }
                    'u'
                }
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some(other) => other,
                None => break,
            },
            c if c == quote => break,
            c => c,
        };
        flush(&mut units, &mut text);
        text.push(c);
    }
    flush(&mut units, &mut text);
    text
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
    /// Tools that are to be called.
    pub tool_calls: Vec<ToolCall>,
    /// What the content is written in throughout, by the ending of its file or the name that a code fence would give it (`py`, `rs`);
    /// `None` where nothing says so, as for messages with code between fences.
    pub written_in: Option<String>,
    /// Where parts of the content meet: the line breaks of it that stand between them, and that not every model sees.
    pub joints: Vec<usize>,
    /// What comes with the message beside content and calls.
    pub fields: Vec<Field>,
    /// What was thought before it was said. It stands in a message before this one or among the fields, and is scanned there; here it is
    /// what content and calls go on from.
    pub thought: String,
}

/// A text beside the content of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where it stands, such as `metadata.note`; the key `note` itself stands at `metadata.{key}`.
    pub place: String,
    /// The text.
    pub text: String,
}

/// How what findings are seen in begins where it is a field.
pub(crate) const FIELD: &str = "field ";

impl Field {
    /// Whether the text is a key: names of places may repeat it.
    pub fn is_key(&self) -> bool {
        self.place.ends_with("{key}")
    }

    /// The last key on the way to it, as places have it.
    pub(crate) fn key(&self) -> &str {
        let word = self.place.rsplit('.').next().unwrap_or_default();
        word.split('[').next().unwrap_or_default()
    }
}

/// A place without the words that are in `unsaid`.
pub(crate) fn place_without(place: &str, unsaid: &HashSet<&str>) -> String {
    let words = place.split('.').map(|word| {
        let index = word.find('[').unwrap_or(word.len());
        if unsaid.contains(&word[..index]) { format!("*{}", &word[index..]) } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(".")
}

impl Message {
    /// A message.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        let (content, tool_calls) = (content.into(), Vec::new());
        let (joints, fields, thought) = (Vec::new(), Vec::new(), String::new());
        Self { role, content, tool_calls, written_in: None, joints, fields, thought }
    }

    /// A message whose content comes in parts. Models see them with line breaks between them, as they stand here, or one behind the
    /// other: both are scanned.
    pub fn of_parts<T: AsRef<str>>(role: Role, parts: impl IntoIterator<Item = T>) -> Self {
        let (mut content, mut joints) = (String::new(), Vec::new());
        for part in parts.into_iter().filter(|part| !part.as_ref().is_empty()) {
            if !content.is_empty() {
                joints.push(content.len());
                content.push('\n');
            }
            content.push_str(part.as_ref());
        }
        Self { joints, ..Self::new(role, content) }
    }

    /// The same message, written in a language throughout.
    #[must_use]
    pub fn written_in(mut self, name: impl Into<String>) -> Self {
        self.written_in = Some(name.into());
        self
    }

    /// The same message with texts beside its content.
    #[must_use]
    pub fn with_fields(mut self, fields: Vec<Field>) -> Self {
        self.fields = fields;
        self
    }

    /// The same message with calls of tools.
    #[must_use]
    pub fn with_tool_calls(mut self, calls: Vec<ToolCall>) -> Self {
        self.tool_calls = calls;
        self
    }

    /// The same message after something that was thought, which is scanned elsewhere for itself.
    #[must_use]
    pub fn after_thought(mut self, thought: impl Into<String>) -> Self {
        self.thought = thought.into();
        self
    }

    /// The content as those models see it whose templates write parts one behind the other, as they came and without the white space
    /// around each; none where there are no parts.
    pub(crate) fn joined(&self) -> Vec<Joined> {
        if self.joints.is_empty() {
            return Vec::new();
        }
        let breaks = self.breaks();
        let mut blanks: Vec<Range<usize>> = Vec::new();
        for cut in &breaks {
            // A part of blanks alone goes with the cut before it: looked at for each, many of them would take quadratic time.
            if blanks.last().is_none_or(|before| before.end <= cut.start) {
                blanks.push(self.blanks_around(cut));
            }
        }
        let trimmed = (blanks != breaks).then(|| Joined::new(&self.content, blanks));
        std::iter::once(Joined::new(&self.content, breaks)).chain(trimmed).collect()
    }

    /// The content without the line breaks between its parts.
    pub(crate) fn unbroken(&self) -> Joined {
        Joined::new(&self.content, self.breaks())
    }

    fn breaks(&self) -> Vec<Range<usize>> {
        self.joints.iter().map(|at| *at..at + 1).collect()
    }

    fn blanks_around(&self, cut: &Range<usize>) -> Range<usize> {
        let after = &self.content[cut.end..];
        let blanks = after.len() - after.trim_start().len();
        self.content[..cut.start].trim_end().len()..cut.end + blanks
    }

    /// A user's message.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new(Role::User, content)
    }

    /// The application's instructions.
    pub fn system(content: impl Into<String>) -> Self {
        Self::new(Role::System, content)
    }

    /// A model's message.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new(Role::Assistant, content)
    }

    /// The result of a tool.
    pub fn tool(content: impl Into<String>) -> Self {
        Self::new(Role::Tool, content)
    }

    /// Something remembered.
    pub fn memory(content: impl Into<String>) -> Self {
        Self::new(Role::Memory, content)
    }
}

/// A content without what stands between its parts.
pub(crate) struct Joined {
    pub text: String,
    /// Where in the text something was left out, and how many bytes up to there in all.
    left_out: Vec<(usize, usize)>,
}

impl Joined {
    fn new(content: &str, cuts: Vec<Range<usize>>) -> Self {
        let (mut text, mut left_out) = (String::new(), Vec::new());
        let mut from = 0;
        for cut in cuts {
            text.push_str(&content[from..cut.start]);
            from = cut.end;
            left_out.push((text.len(), from - text.len()));
        }
        text.push_str(&content[from..]);
        Self { text, left_out }
    }

    /// The place in the content of one in the text.
    pub fn original(&self, span: Range<usize>) -> Range<usize> {
        let before = |cuts: usize| cuts.checked_sub(1).map_or(0, |last| self.left_out[last].1);
        // A scanner may name a place that there is not.
        let start =
            span.start.saturating_add(before(self.left_out.partition_point(|cut| cut.0 <= span.start)));
        let end = span.end.saturating_add(before(self.left_out.partition_point(|cut| cut.0 < span.end)));
        start.min(end)..end
    }
}

/// Messages in the order in which they were said.
pub type Trace = Vec<Message>;

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<String> {
        let values = values(source).into_iter().filter(|value| !value.is_number());
        values.map(|value| value.text).collect()
    }

    #[test]
    fn a_place_that_there_is_not_has_none_in_the_original_either() {
        let joined = Joined::new("one, two, three", vec![3..5, 8..10]);
        assert_eq!(joined.original(2..4), 2..6);
        assert_eq!(joined.original(usize::MAX..usize::MAX), usize::MAX..usize::MAX);
    }

    #[test]
    fn strings_are_read_as_tools_read_them() {
        for (source, want) in [
            (r#"{"a": "x\n\"y\"", "b": [1, "\u00e9\ud83d\ude42"]}"#, vec!["a", "x\n\"y\"", "b", "é🙂"]),
            (r#"{"a": NaN, "b": "c\td"}"#, vec!["a", "b", "c\td"]),
            (r#"{'a': 'it\'s "so"'}"#, vec!["a", "it's \"so\""]),
            (r#"["it's"]"#, vec!["it's"]),
            (r#""\ud83d open"#, vec!["\u{fffd} open"]),
            (r#""\u12"#, vec!["u12"]),
            ("", vec![]),
        ] {
            assert_eq!(texts(source), want, "{source}");
        }
        let deep = format!("{}\"x\"{}", "[".repeat(5000), "]".repeat(5000));
        assert_eq!(texts(&deep), ["x"]);
    }

    #[test]
    fn values_are_read_one_behind_the_other_without_their_keys() {
        let call = |arguments: &str| ToolCall { name: "f".to_owned(), arguments: arguments.to_owned() };
        let split = call(r#"{"a" : "one", "b": {"c": ["two", 3, "three"]}}"#);
        assert_eq!(split.joined_values(), "onetwothree");
        let readings: Vec<String> = split.readings().into_iter().map(|(_, text)| text).collect();
        assert_eq!(readings[2..], ["a\none\nb\nc\ntwo\nthree", "onetwothree", "onetwo3three"]);
        assert_eq!(call(r#"{"a": "one"}"#).readings().len(), 3);
    }

    #[test]
    fn numbers_are_read_with_the_strings_beside_them() {
        for (arguments, want) in [
            (r#"{"a": "zebra", "b": -7431.5, "c": "quartz"}"#, Some("zebra7431.5quartz")),
            (r#"["zebra-", 74, 31, "-q"]"#, Some("zebra-74\n31-q")),
            (r#"{"x": 1, "to": "4111 1111", "y": 1111, "z": 2}"#, None),
            (r#"{1: 'a', 'n': 2, 'o': x3}"#, Some("a2")),
            (r#"{"j": "[\"a\", 7]"}"#, Some("a7")),
            (r#"["a", true, null]"#, None),
        ] {
            let call = ToolCall { name: "f".to_owned(), arguments: arguments.to_owned() };
            let readings: Vec<String> = call.readings().into_iter().skip(3).map(|(_, text)| text).collect();
            let without = readings.iter().filter(|text| !text.contains(|c: char| c.is_ascii_digit()));
            assert_eq!(readings.len() - without.count(), usize::from(want.is_some()), "{readings:?}");
            assert!(want.is_none_or(|want| readings.iter().any(|text| text == want)), "{readings:?}");
        }
    }

    #[test]
    fn json_in_strings_is_unpacked() {
        let readings = |arguments: &str| -> Vec<String> {
            let call = ToolCall { name: "f".to_owned(), arguments: arguments.to_owned() };
            call.readings().into_iter().skip(2).map(|(_, text)| text).collect()
        };
        let inner = r#"{"code": "import os\nx = 1"}"#;
        for depth in 0..4 {
            let text =
                (0..depth).fold(inner.to_owned(), |text, _| serde_json::json!({ "a": text }).to_string());
            assert!(readings(&text).contains(&"import os\nx = 1".to_owned()), "{text}");
        }
        assert_eq!(readings(r#"{"a": "[\"b\", \"c\"]"}"#), ["a\n[\"b\", \"c\"]\nb\nc", "bc"]);
        assert_eq!(readings(r#"{"a": "\"b\""}"#), ["a\n\"b\"\nb"]);
        assert_eq!(readings(r#"["{'b': 'c'}", "d"]"#)[0], "{'b': 'c'}\nd\nb\nc");
        let wide = format!("[{}]", r#""[\"[]\"]","#.repeat(50_000));
        assert!(readings(&wide).iter().map(String::len).sum::<usize>() < 4 * wide.len());
        let numbers = format!("[{}0]", r#""a",1,"#.repeat(50_000));
        assert!(readings(&numbers).iter().map(String::len).sum::<usize>() < 4 * numbers.len());
    }

    #[test]
    fn parts_are_read_one_behind_the_other_too_and_places_lead_back() {
        let message = Message::of_parts(Role::User, ["Ign", "", "ore ", " all"]);
        assert_eq!((message.content.as_str(), &message.joints[..]), ("Ign\nore \n all", &[3, 8][..]));
        let joined = message.joined();
        assert_eq!(
            joined.iter().map(|joined| &joined.text[..]).collect::<Vec<_>>(),
            ["Ignore  all", "Ignoreall"]
        );
        assert_eq!(joined[0].original(0..3), 0..3);
        assert_eq!(joined[0].original(3..6), 4..7);
        assert_eq!(joined[0].original(2..9), 2..11);
        assert_eq!(joined[1].original(0..9), 0..13);
        assert_eq!(joined[1].original(6..9), 10..13);
        assert!(Message::user("a\nb").joined().is_empty());
        assert_eq!(Message::of_parts(Role::User, ["a", "b"]).joined().len(), 1);
    }

    #[test]
    fn blanks_between_parts_are_cut_out_once() {
        let parts = std::iter::once("a").chain(std::iter::repeat_n(" ", 500)).chain(["b ", " c", "d"]);
        let joined = Message::of_parts(Role::User, parts).joined();
        assert_eq!((&joined[1].text[..], joined[1].left_out.len()), ("abcd", 3));
        assert_eq!(joined[1].original(1..2), 1002..1003);
        assert_eq!(joined[1].original(3..4), 1008..1009);
    }
}
