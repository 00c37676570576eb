//! Reads the text of a pattern into a tree. Knows nothing of states.

use super::classes::{CharSet, char_set};
use super::{Dialect, PatternError, ruby};

/// Deepest nesting of groups.
const MAX_DEPTH: usize = 64;
/// Largest count in `{n,m}`.
const MAX_COUNT: u32 = 1000;
const LINE_FEED: [(u32, u32); 1] = [(0x0A, 0x0A)];
/// What Oniguruma does where case is ignored and this matcher does not.
const LONG_FOLDING: &str = "ignoring case of what equals several characters, such as ß and ss,";

/// A pattern as a tree; `Class` and `Look` name one of the sets beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Class(usize),
    /// The next character is in the set (or, negated, is not; the end of the text never is).
    Look {
        set: usize,
        negated: bool,
    },
    StartOfText,
    EndOfText,
    StartOfLine,
    /// Before a line feed, which the set holds, or at the end of the text.
    EndOfLine(usize),
    Concat(Vec<Node>),
    Alternatives(Vec<Node>),
    Repeat {
        node: Box<Node>,
        min: u32,
        max: Option<u32>,
        greedy: bool,
    },
}

impl Node {
    /// Whether the node can match without consuming.
    fn may_be_empty(&self) -> bool {
        match self {
            Self::Class(_) => false,
            Self::Look { .. } | Self::StartOfText | Self::EndOfText => true,
            Self::StartOfLine | Self::EndOfLine(_) => true,
            Self::Concat(nodes) => nodes.iter().all(Self::may_be_empty),
            Self::Alternatives(nodes) => nodes.iter().any(Self::may_be_empty),
            Self::Repeat { node, min, .. } => *min == 0 || node.may_be_empty(),
        }
    }
}

/// A tree and its sets of characters.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    pub(super) root: Node,
    pub(super) sets: Vec<CharSet>,
    /// The set of the line feed, where the start of a line is asked for.
    pub(super) line_feed: Option<usize>,
}

pub(super) fn parse(source: &str, dialect: Dialect) -> Result<Tree, PatternError> {
    let mut parser = Parser {
        chars: source.chars().collect(),
        dialect,
        at: 0,
        ignore_case: false,
        depth: 0,
        sets: Vec::new(),
        line_feed: None,
        literal: None,
    };
    let root = parser.alternatives()?;
    match parser.peek() {
        None => Ok(Tree { root, sets: parser.sets, line_feed: parser.line_feed }),
        Some(_) => Err(parser.bad("unmatched ')'")),
    }
}

struct Parser {
    chars: Vec<char>,
    dialect: Dialect,
    at: usize,
    ignore_case: bool,
    depth: usize,
    sets: Vec<CharSet>,
    line_feed: Option<usize>,
    /// The character just read, where case is ignored as in Ruby.
    literal: Option<char>,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = text.chars().enumerate().all(|(i, c)| self.chars.get(self.at + i) == Some(&c));
        if found {
            self.at += text.chars().count();
        }
        found
    }

    fn bad(&self, what: &str) -> PatternError {
        PatternError::Syntax { at: self.at, what: what.to_owned() }
    }

    fn unsupported(&self, what: &'static str) -> PatternError {
        PatternError::Unsupported { at: self.at, what }
    }

    /// Parses up to the end or the closing parenthesis. A `(?i)` inside holds to the end of its group.
    fn alternatives(&mut self) -> Result<Node, PatternError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(PatternError::TooLarge { limit: MAX_DEPTH, unit: "nested groups" });
        }
        let outer_case = self.ignore_case;
        let mut branches = vec![self.sequence()?];
        while self.eat("|") {
            self.literal = None;
            branches.push(self.sequence()?);
        }
        self.ignore_case = outer_case;
        self.depth -= 1;
        Ok(if branches.len() == 1 { branches.swap_remove(0) } else { Node::Alternatives(branches) })
    }

    fn sequence(&mut self) -> Result<Node, PatternError> {
        let mut nodes = Vec::new();
        while let Some(c) = self.peek() {
            if c == '|' || c == ')' {
                break;
            }
            if self.eat("(?i)") {
                self.ignore_case = true;
                if self.dialect == Dialect::Ruby {
                    // The alternatives that follow are all under it, behind what stands before it.
                    nodes.push(self.alternatives()?);
                }
                continue;
            }
            let start = self.at;
            let node = self.atom(c)?;
            if c != '(' {
                self.check_foldings(start)?;
            }
            let end = self.at;
            nodes.push(self.repeated(node)?);
            // A count of one may be nothing but another way to write the character.
            if self.at > end && self.chars[self.at - 1] != '}' {
                self.literal = None;
            }
        }
        Ok(Node::Concat(nodes))
    }

    /// Refuses the atom since `start` where it and the character before it may equal one, as Ruby ignores case.
    fn check_foldings(&mut self, start: usize) -> Result<(), PatternError> {
        let source = &self.chars[start..self.at];
        if !self.ignore_case || self.dialect != Dialect::Ruby || matches!(source, ['^' | '$' | '.']) {
            return Ok(());
        }
        let next = match self.set(source, false)?.as_slice() {
            [(low, high)] if low == high => char::from_u32(*low),
            _ => None,
        };
        if let (Some(first), Some(second)) = (self.literal, next)
            && ruby::make_one_folding(first, second)
        {
            return Err(self.unsupported(LONG_FOLDING));
        }
        self.literal = next;
        Ok(())
    }

    fn atom(&mut self, c: char) -> Result<Node, PatternError> {
        match c {
            '(' => self.group(),
            '[' => {
                let start = self.at;
                self.bracket()?;
                self.class(start)
            }
            '\\' => self.escape(),
            '^' => {
                self.at += 1;
                Ok(self.start())
            }
            '$' => {
                self.at += 1;
                Ok(self.end())
            }
            '*' | '+' | '?' => Err(self.bad("nothing to repeat")),
            _ => {
                self.at += 1;
                self.class(self.at - 1)
            }
        }
    }

    /// What `^` is.
    fn start(&mut self) -> Node {
        match self.dialect {
            Dialect::Rust => Node::StartOfText,
            Dialect::Ruby => {
                self.line_feed = Some(self.intern(LINE_FEED.to_vec()));
                Node::StartOfLine
            }
        }
    }

    /// What `$` is.
    fn end(&mut self) -> Node {
        match self.dialect {
            Dialect::Rust => Node::EndOfText,
            Dialect::Ruby => Node::EndOfLine(self.intern(LINE_FEED.to_vec())),
        }
    }

    /// The class that was read since `start`.
    fn class(&mut self, start: usize) -> Result<Node, PatternError> {
        let source = &self.chars[start..self.at];
        let ruby = self.dialect == Dialect::Ruby;
        let is_property = matches!(source, ['\\', 'p' | 'P', ..]);
        let ignores_case = self.ignore_case && !(ruby && is_property);
        if ruby
            && ignores_case
            && (matches!(source, ['[', second, ..] if *second != '^') || source.len() == 1)
        {
            let set = self.set(source, false)?;
            if source != ['.'] && ruby::has_long_folding(&set) {
                return Err(self.unsupported(LONG_FOLDING));
            }
        }
        let set = self.set(source, ignores_case)?;
        Ok(Node::Class(self.intern(set)))
    }

    /// The characters that a class stands for.
    fn set(&self, source: &[char], ignore_case: bool) -> Result<CharSet, PatternError> {
        let at = self.at - source.len();
        let source = match (source, self.dialect) {
            (['.'], _) => ".".to_owned(),
            ([c], _) => regex_syntax::escape(&c.to_string()),
            (_, Dialect::Rust) => source.iter().collect(),
            (_, Dialect::Ruby) => ruby::class(source, at)?,
        };
        char_set(&source, ignore_case, self.at)
    }

    fn intern(&mut self, set: CharSet) -> usize {
        self.sets.iter().position(|known| *known == set).unwrap_or_else(|| {
            self.sets.push(set);
            self.sets.len() - 1
        })
    }

    fn group(&mut self) -> Result<Node, PatternError> {
        let outer_case = self.ignore_case;
        let look = if self.eat("(?=") {
            Some(false)
        } else if self.eat("(?!") {
            Some(true)
        } else {
            None
        };
        if look.is_none() {
            self.open_group()?;
        }
        let body = self.alternatives()?;
        if !self.eat(")") {
            return Err(self.bad("missing ')'"));
        }
        if look.is_some() || self.ignore_case != outer_case {
            self.literal = None;
        }
        self.ignore_case = outer_case;
        match look {
            None => Ok(body),
            Some(negated) => self.look(&body, negated),
        }
    }

    fn open_group(&mut self) -> Result<(), PatternError> {
        if self.eat("(?i:") {
            self.ignore_case = true;
        } else if self.eat("(?-i:") {
            self.ignore_case = false;
        } else if !self.eat("(?:") {
            self.at += 1;
            if self.peek() == Some('?') {
                return Err(self.unsupported("this kind of group"));
            }
        }
        Ok(())
    }

    /// A look-ahead may ask for one character of one set.
    fn look(&mut self, body: &Node, negated: bool) -> Result<Node, PatternError> {
        let mut node = body;
        while let Node::Concat(nodes) = node {
            match nodes.as_slice() {
                [only] => node = only,
                _ => return Err(self.unsupported("look-ahead over more than one character")),
            }
        }
        match node {
            Node::Class(set) => Ok(Node::Look { set: *set, negated }),
            _ => Err(self.unsupported("look-ahead over more than one character")),
        }
    }

    /// Passes over a bracket expression with its nested brackets.
    fn bracket(&mut self) -> Result<(), PatternError> {
        let (start, mut depth) = (self.at, 0_usize);
        while let Some(c) = self.peek() {
            self.at += 1;
            match c {
                '\\' => self.at += 1,
                '[' => depth += 1,
                ']' if self.closes_nothing(start) => {}
                ']' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
        }
        Err(self.bad("missing ']'"))
    }

    /// Whether the `]` just read stands first in the bracket and is therefore a member.
    fn closes_nothing(&self, start: usize) -> bool {
        let before: String = self.chars[start..self.at - 1].iter().collect();
        before == "[" || before == "[^"
    }

    fn escape(&mut self) -> Result<Node, PatternError> {
        let start = self.at;
        self.at += 1;
        let Some(c) = self.peek() else { return Err(self.bad("lone '\\' at the end")) };
        self.at += 1;
        match c {
            'A' => return Ok(Node::StartOfText),
            'z' => return Ok(Node::EndOfText),
            'b' | 'B' | 'G' | 'K' | 'Z' | 'h' | 'H' | 'R' | 'X' | '0'..='9' => {
                return Err(self.unsupported("this escape"));
            }
            'p' | 'P' | 'x' | 'u' | 'U' => self.escape_argument(c)?,
            _ => {}
        }
        self.class(start)
    }

    /// Passes over `{...}` or the digits that follow `\p`, `\x`, `\u`.
    fn escape_argument(&mut self, kind: char) -> Result<(), PatternError> {
        if self.peek() == Some('{') {
            let close = self.chars[self.at..]
                .iter()
                .position(|&c| c == '}')
                .ok_or_else(|| self.bad("missing '}'"))?;
            self.at += close + 1;
        } else {
            self.at += match kind {
                'x' => 2,
                'u' => 4,
                'U' => 8,
                _ => 1,
            };
        }
        if self.at > self.chars.len() { Err(self.bad("unfinished escape")) } else { Ok(()) }
    }

    fn repeated(&mut self, node: Node) -> Result<Node, PatternError> {
        let mut node = node;
        while let Some((min, max)) = self.quantifier()? {
            let counted = self.chars[self.at - 1] == '}';
            // Ruby repeats again there.
            if (!counted || self.dialect == Dialect::Rust) && self.eat("+") {
                node = self.possessive(node, min, max)?;
                continue;
            }
            if max != Some(1) && node.may_be_empty() {
                return Err(self.unsupported("repetition of what may be empty"));
            }
            // Ruby has no reluctant `{n}`, which could not be another: what follows may leave it out.
            let exact = counted && self.dialect == Dialect::Ruby && max == Some(min);
            let greedy = exact || !self.eat("?");
            node = Node::Repeat { node: Box::new(node), min, max, greedy };
        }
        Ok(node)
    }

    /// `X*+` is `X*(?!X)` and `X{1,3}+` is `(?:X{3}|X{1,2}(?!X))` when X is one character.
    fn possessive(&self, node: Node, min: u32, max: Option<u32>) -> Result<Node, PatternError> {
        let Node::Class(set) = node else { return Err(self.unsupported("possessive repetition of a group")) };
        let times = |min, max| Node::Repeat { node: Box::new(Node::Class(set)), min, max, greedy: true };
        let until = |max| Node::Concat(vec![times(min, max), Node::Look { set, negated: true }]);
        Ok(match max {
            None => until(None),
            Some(max) if max == min => times(min, Some(max)),
            Some(max) => Node::Alternatives(vec![times(max, Some(max)), until(Some(max - 1))]),
        })
    }

    fn quantifier(&mut self) -> Result<Option<(u32, Option<u32>)>, PatternError> {
        let simple = match self.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => return self.counted(),
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(simple))
    }

    /// `{n}`, `{n,}`, `{n,m}`, `{,m}`; any other brace stands for itself.
    fn counted(&mut self) -> Result<Option<(u32, Option<u32>)>, PatternError> {
        let Some(length) = self.chars[self.at..].iter().position(|&c| c == '}') else { return Ok(None) };
        let body: String = self.chars[self.at + 1..self.at + length].iter().collect();
        let (low, high) = body.split_once(',').unwrap_or((&body, &body));
        let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
        if body.is_empty() || body == "," || !digits(low) || !digits(high) {
            return Ok(None);
        }
        let read = |text: &str| match text.parse::<u32>() {
            Ok(count) if count <= MAX_COUNT => Ok(count),
            _ => Err(PatternError::TooLarge { limit: MAX_COUNT as usize, unit: "repetitions" }),
        };
        let min = if low.is_empty() { 0 } else { read(low)? };
        let max = if high.is_empty() { None } else { Some(read(high)?) };
        if max.is_some_and(|max| max < min) {
            return Err(self.bad("'{n,m}' with n > m"));
        }
        self.at += length + 1;
        Ok(Some((min, max)))
    }
}
