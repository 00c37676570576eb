//! Reads the text of a pattern into a tree. Knows nothing of states.

use super::PatternError;
use super::classes::{CharSet, char_set};

/// Deepest nesting of groups.
const MAX_DEPTH: usize = 64;
/// Largest count in `{n,m}`.
const MAX_COUNT: u32 = 1000;

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
}

pub(super) fn parse(source: &str) -> Result<Tree, PatternError> {
    let mut parser =
        Parser { chars: source.chars().collect(), at: 0, ignore_case: false, depth: 0, sets: Vec::new() };
    let root = parser.alternatives()?;
    match parser.peek() {
        None => Ok(Tree { root, sets: parser.sets }),
        Some(_) => Err(parser.bad("unmatched ')'")),
    }
}

struct Parser {
    chars: Vec<char>,
    at: usize,
    ignore_case: bool,
    depth: usize,
    sets: Vec<CharSet>,
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
                continue;
            }
            let node = self.atom(c)?;
            nodes.push(self.repeated(node)?);
        }
        Ok(Node::Concat(nodes))
    }

    fn atom(&mut self, c: char) -> Result<Node, PatternError> {
        match c {
            '(' => self.group(),
            '[' => {
                let source = self.bracket()?;
                self.class(&source)
            }
            '\\' => self.escape(),
            '^' => self.assertion(Node::StartOfText),
            '$' => self.assertion(Node::EndOfText),
            '*' | '+' | '?' => Err(self.bad("nothing to repeat")),
            '.' => {
                self.at += 1;
                self.class(".")
            }
            _ => {
                self.at += 1;
                self.class(&regex_syntax::escape(&c.to_string()))
            }
        }
    }

    fn assertion(&mut self, node: Node) -> Result<Node, PatternError> {
        self.at += 1;
        Ok(node)
    }

    fn class(&mut self, source: &str) -> Result<Node, PatternError> {
        let set = char_set(source, self.ignore_case, self.at)?;
        Ok(Node::Class(self.intern(set)))
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

    /// The source of a bracket expression with its nested brackets.
    fn bracket(&mut self) -> Result<String, PatternError> {
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
                return Ok(self.chars[start..self.at.min(self.chars.len())].iter().collect());
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
        let source: String = self.chars[start..self.at].iter().collect();
        self.class(&source)
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
            if !counted && self.eat("+") {
                node = self.possessive(node, min, max)?;
                continue;
            }
            if max != Some(1) && node.may_be_empty() {
                return Err(self.unsupported("repetition of what may be empty"));
            }
            let greedy = !self.eat("?");
            node = Node::Repeat { node: Box::new(node), min, max, greedy };
        }
        Ok(node)
    }

    /// `X*+` is `X*(?!X)` and `X?+` is `(?:X|(?!X))` when X is one character.
    fn possessive(&self, node: Node, min: u32, max: Option<u32>) -> Result<Node, PatternError> {
        let Node::Class(set) = node else { return Err(self.unsupported("possessive repetition of a group")) };
        let stop = Node::Look { set, negated: true };
        Ok(match max {
            Some(_) => Node::Alternatives(vec![node, stop]),
            None => {
                let many = Node::Repeat { node: Box::new(node), min, max, greedy: true };
                Node::Concat(vec![many, stop])
            }
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
