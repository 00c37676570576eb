//! A syntax tree as one flat table in the order of the text, made without recursion.

use std::cell::{Cell, OnceCell};
use std::collections::{HashMap, HashSet};
use std::ops::{ControlFlow, Range};

use super::facts::{Binding, Bound, Call, Typed};
use super::inert::Inert;
use super::vocabulary::{Field, Grammar, Role};
use super::work;

/// A node's place in the table; descendants follow their ancestor.
pub(crate) type NodeId = u32;

/// Longest text that is parsed at once.
pub(crate) const MAX_BYTES: usize = 256 << 10;

/// How often the parser may ask whether to go on, per kilobyte and at least: code takes up to 30 per kilobyte. A count
/// and not a time, so that the verdict does not depend on the machine.
const STEPS_PER_KB: u64 = 200;
const STEPS: u64 = 2000;

/// Bytes that are handed to the parser at once, and how many it may ask for, per byte of the text and at least. Code is read twice at most;
/// comments that never end are read to the end of the text from each place where one may begin.
const CHUNK: usize = 4096;
const READ_PER_BYTE: usize = 30;
const MOST_READ: usize = 1 << 20;

/// How many nodes rules may look at before they give up, per node of the tree and at least.
const LOOKS_PER_NODE: u64 = 60;
const LOOKS: u64 = 1_000_000;

/// How many nodes above a place are asked whether they make it prose.
const HIGHEST: usize = 64;

/// Whether a piece of code was looked at whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Whole,
    /// A limit was reached: what the rules say is not all.
    GaveUp,
}

pub(crate) struct Node {
    pub role: Role,
    pub kind: u16,
    pub field: Field,
    /// Whether something in it could not be parsed.
    pub is_broken: bool,
    /// Whether it lies in something that could not be parsed.
    pub in_broken: bool,
    pub start: u32,
    pub end: u32,
    pub parent: NodeId,
    /// One past the last descendant.
    pub last: NodeId,
    /// The function or lambda around it, or the root.
    pub function: NodeId,
    /// The statement it belongs to: itself or the ancestor that stands in a block.
    pub statement: NodeId,
}

/// Code of one grammar, with the index that rules ask.
pub(crate) struct Tree<'t> {
    pub text: &'t str,
    pub grammar: Grammar,
    pub nodes: Vec<Node>,
    /// Where comments are, in the order of the text.
    comments: Vec<Range<usize>>,
    pub calls: Vec<Call<'t>>,
    pub bindings: HashMap<&'t str, Vec<Binding>>,
    /// The same by the node that binds.
    pub bound_at: HashMap<NodeId, (&'t str, Bound)>,
    pub types: HashMap<&'t str, Vec<Typed<'t>>>,
    /// Names that imports bring, and what they stand for.
    pub aliases: HashMap<&'t str, String>,
    /// Modules all of whose names are imported: `from os import *`.
    pub stars: HashSet<&'t str>,
    /// Modules, namespaces and packages that imports name.
    pub imports: Vec<(String, NodeId)>,
    fuel: Cell<u64>,
    /// Lines with prose, once they are asked for.
    prose: OnceCell<Vec<Range<usize>>>,
}

impl<'t> Tree<'t> {
    /// Parses `text`; `None` if it is too long or takes the parser too many steps, or if the scan has parsed too much.
    pub(crate) fn parse(text: &'t str, grammar: Grammar) -> Option<Self> {
        Self::of(text, grammar, false)
    }

    /// The same, but only text that can be parsed from end to end: anything else is mostly given up at its first error.
    pub(crate) fn parse_clean(text: &'t str, grammar: Grammar) -> Option<Self> {
        Self::of(text, grammar, true).filter(Self::is_clean)
    }

    fn of(text: &'t str, grammar: Grammar, is_clean: bool) -> Option<Self> {
        if text.len() > MAX_BYTES || !work::allows() {
            return None;
        }
        let parsed = parse(text, grammar, is_clean)?;
        let (nodes, comments) = flatten(&parsed, grammar);
        let fuel = Cell::new(LOOKS.max(nodes.len() as u64 * LOOKS_PER_NODE));
        let mut tree = Self {
            text,
            grammar,
            nodes,
            comments,
            calls: Vec::new(),
            bindings: HashMap::new(),
            bound_at: HashMap::new(),
            types: HashMap::new(),
            aliases: HashMap::new(),
            stars: HashSet::new(),
            imports: Vec::new(),
            fuel,
            prose: OnceCell::new(),
        };
        tree.collect_facts();
        Some(tree)
    }

    /// Whether the rules could look at all they wanted to.
    pub(crate) fn outcome(&self) -> Outcome {
        if self.fuel.get() == 0 { Outcome::GaveUp } else { Outcome::Whole }
    }

    /// All nodes, in the order of the text.
    pub(crate) fn all(&self) -> Range<NodeId> {
        self.spend(0..self.nodes.len() as NodeId)
    }

    /// A node and everything in it.
    pub(crate) fn within(&self, id: NodeId) -> Range<NodeId> {
        self.spend(id..self.node(id).last)
    }

    /// What follows the statement of `id` in its block, in the order of the text.
    pub(crate) fn after(&self, id: NodeId) -> Range<NodeId> {
        self.spend(self.node(self.node(id).statement).last..self.node(self.block(id)).last)
    }

    /// The block around the statement of `id`. Conditions of the preprocessor are none.
    pub(crate) fn block(&self, id: NodeId) -> NodeId {
        let mut block = self.node(self.node(id).statement).parent;
        while self.grammar == Grammar::Cpp && self.kind(block).starts_with("preproc") {
            block = self.node(block).parent;
        }
        block
    }

    /// Calls within a range of nodes.
    pub(crate) fn calls_in(&self, range: Range<NodeId>) -> &[Call<'t>] {
        let from = self.calls.partition_point(|call| call.node < range.start);
        let to = self.calls.partition_point(|call| call.node < range.end);
        self.spend(0..(to - from) as NodeId);
        &self.calls[from..to]
    }

    /// Pays for looking at a range; an empty one once the fuel is used up.
    pub(crate) fn spend(&self, range: Range<NodeId>) -> Range<NodeId> {
        let price = u64::from(range.end.saturating_sub(range.start)) + 1;
        let left = self.fuel.get().saturating_sub(price);
        self.fuel.set(left);
        if left == 0 { range.end..range.end } else { range }
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }

    pub(crate) fn role(&self, id: NodeId) -> Role {
        self.node(id).role
    }

    pub(crate) fn kind(&self, id: NodeId) -> &'static str {
        self.grammar.vocabulary().names.get(usize::from(self.node(id).kind)).map_or("", String::as_str)
    }

    pub(crate) fn text(&self, id: NodeId) -> &'t str {
        let node = self.node(id);
        &self.text[node.start as usize..node.end as usize]
    }

    /// Where a node stands in a text that this one begins at `from`.
    pub(crate) fn span(&self, id: NodeId, from: usize) -> Range<usize> {
        let node = self.node(id);
        from + node.start as usize..from + node.end as usize
    }

    pub(crate) fn children(&self, id: NodeId) -> Children<'_, 't> {
        Children { tree: self, next: id + 1, end: self.node(id).last }
    }

    pub(crate) fn child(&self, id: NodeId, field: Field) -> Option<NodeId> {
        self.children(id).find(|&child| self.node(child).field == field)
    }

    /// Children without operators and punctuation.
    pub(crate) fn parts(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.children(id).filter(|&child| self.node(child).field != Field::Operator)
    }

    /// Whether `inner` is `outer` or lies in it.
    pub(crate) fn contains(&self, outer: NodeId, inner: NodeId) -> bool {
        outer <= inner && inner < self.node(outer).last
    }

    /// Whether the whole text could be parsed.
    pub(crate) fn is_clean(&self) -> bool {
        self.nodes.first().is_some_and(|root| !root.is_broken)
    }

    /// Whether the statement around a node could be parsed, and stands where code stands.
    pub(crate) fn is_clean_at(&self, id: NodeId) -> bool {
        !self.node(id).in_broken && !self.node(self.node(id).statement).is_broken && !self.is_in_prose(id)
    }

    /// Whether a node is part of a sentence: of a line with words that are no code, or behind a word with a colon or a full stop.
    fn is_in_prose(&self, id: NodeId) -> bool {
        let statement = self.node(id).statement;
        let node = self.node(statement);
        let lines = self.prose.get_or_init(|| self.prose_lines());
        let start = self.node(id).start as usize;
        let at = lines.partition_point(|line| line.end <= start);
        if lines.get(at).is_some_and(|line| line.start <= start) {
            return true;
        }
        let inner = || self.parts(statement).last().map(|part| self.kind(part));
        let is_one_line = !self.text[(node.start as usize).min(start)..start].contains('\n');
        let is_label = self.kind(statement) == "labeled_statement"
            && self.grammar != Grammar::Cpp
            && is_one_line
            && inner() == Some("expression_statement");
        // `note: eval(x)` declares a type in Python.
        let above = |id: &NodeId| Some(self.node(*id).parent).filter(|_| *id != statement);
        let is_annotation = self.grammar == Grammar::Python
            && is_one_line
            && std::iter::successors(Some(id), above).take(HIGHEST).any(|id| self.kind(id) == "type");
        let head = self.text(id).split(['(', '\n']).next().unwrap_or_default();
        let mut stops = head.match_indices(". ").map(|(at, _)| &head[..at]);
        is_label || is_annotation || stops.any(|word| word.ends_with(char::is_alphanumeric))
    }

    /// Lines with words that could not be parsed, or with `#`, from which on something could not be parsed. What is broken from lines before
    /// on, or has braces, may be code of which the beginning was lost.
    fn prose_lines(&self) -> Vec<Range<usize>> {
        let outermost = |node: &&Node| node.in_broken && !self.node(node.parent).in_broken;
        let mut lines: Vec<Range<usize>> = Vec::new();
        for node in self.nodes.iter().filter(outermost) {
            let start = node.start as usize;
            let before = lines.last().map_or(0, |line| line.end);
            if start < before {
                continue;
            }
            let end = self.text[start..].find('\n').map_or(self.text.len(), |length| start + length);
            let broken = &self.text[start..end.min(node.end as usize)];
            let mut words = broken.split(|c: char| !c.is_alphabetic());
            if broken.contains('#') || words.any(|word| word.chars().nth(1).is_some()) {
                let line = self.text[before..start].rfind('\n').map_or(before, |at| before + at + 1);
                let is_code = self.text[line..end].contains(['{', '}']);
                lines.extend((!is_code).then_some(line..end));
            }
        }
        lines
    }

    /// How much of the text lies in what could not be parsed.
    pub(crate) fn broken_bytes(&self) -> usize {
        let length = |node: &Node| (node.end - node.start) as usize;
        let Some(root) = self.nodes.first().filter(|root| !root.in_broken) else { return self.text.len() };
        let outermost = |node: &&Node| node.in_broken && !self.node(node.parent).in_broken;
        if root.is_broken { self.nodes.iter().filter(outermost).map(length).sum() } else { 0 }
    }

    /// Where it is no code.
    pub(crate) fn inert(&self) -> Inert {
        Inert::of(&self.nodes, &self.comments)
    }

    /// The node without brackets around it, and without what TypeScript asserts of it (`x as string`).
    pub(crate) fn bare(&self, mut id: NodeId) -> NodeId {
        while self.role(id) == Role::Paren {
            match self.parts(id).find(|&part| self.kind(part) != "type_arguments") {
                Some(inner) => id = inner,
                None => break,
            }
        }
        id
    }
}

/// Direct children of a node.
pub(crate) struct Children<'a, 't> {
    tree: &'a Tree<'t>,
    next: NodeId,
    end: NodeId,
}

impl Iterator for Children<'_, '_> {
    type Item = NodeId;

    fn next(&mut self) -> Option<NodeId> {
        if self.next >= self.end {
            return None;
        }
        let id = self.next;
        self.next = self.tree.node(id).last;
        self.tree.spend(0..1);
        Some(id)
    }
}

/// Parses until it takes too many steps, or where only clean text is asked for, there is an error.
fn parse(text: &str, grammar: Grammar, is_clean: bool) -> Option<tree_sitter::Tree> {
    let mut parser = tree_sitter::Parser::new();
    parser.set_language(&grammar.vocabulary().language).ok()?;
    let mut steps = STEPS + (text.len() as u64 >> 10) * STEPS_PER_KB;
    let most_read = MOST_READ.max(text.len() * READ_PER_BYTE);
    let read = Cell::new(0);
    let mut watch = |state: &tree_sitter::ParseState| {
        steps = steps.saturating_sub(1);
        if steps == 0 || read.get() > most_read || (is_clean && state.has_error()) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let options = tree_sitter::ParseOptions::new().progress_callback(&mut watch);
    let bytes = text.as_bytes();
    // What is read too often ends early, which the parser takes for the end of the text.
    let mut chunk = |at: usize, _| {
        let rest = if read.get() > most_read { &[] } else { bytes.get(at..).unwrap_or_default() };
        let chunk = &rest[..rest.len().min(CHUNK)];
        read.set(read.get() + chunk.len());
        chunk
    };
    let tree = parser.parse_with_options(&mut chunk, None, Some(options));
    let is_broken = tree.as_ref().is_none_or(|tree| tree.root_node().has_error());
    work::spend(read.get(), is_broken);
    tree.filter(|_| read.get() <= most_read)
}

/// Named nodes and operators in the order of the text, and where comments are. There are no more of them than there are bytes.
fn flatten(parsed: &tree_sitter::Tree, grammar: Grammar) -> (Vec<Node>, Vec<Range<usize>>) {
    let vocabulary = grammar.vocabulary();
    let mut nodes: Vec<Node> = Vec::new();
    let mut comments = Vec::new();
    let mut open: Vec<NodeId> = Vec::new();
    let mut cursor = parsed.walk();
    loop {
        let at = cursor.node();
        let field = cursor.field_id().map_or(Field::None, |id| vocabulary.fields[usize::from(id.get())]);
        let role = match at.is_error() {
            true => Role::Block,
            false => vocabulary.roles.get(usize::from(at.kind_id())).copied().unwrap_or(Role::Other),
        };
        if role == Role::Comment {
            comments.push(at.byte_range());
        }
        let is_kept =
            (at.is_named() || field == Field::Operator || role == Role::Name) && role != Role::Comment;
        if is_kept {
            let node = place(&nodes, open.last().copied(), (&at, role, field));
            nodes.push(node);
            if cursor.goto_first_child() {
                open.push(nodes.len() as NodeId - 1);
                continue;
            }
        }
        while !cursor.goto_next_sibling() {
            let (true, Some(done)) = (cursor.goto_parent(), open.pop()) else {
                return (nodes, comments);
            };
            nodes[done as usize].last = nodes.len() as NodeId;
        }
    }
}

fn place(nodes: &[Node], parent: Option<NodeId>, found: (&tree_sitter::Node<'_>, Role, Field)) -> Node {
    let (at, role, field) = found;
    let id = nodes.len() as NodeId;
    let above = parent.map(|parent| &nodes[parent as usize]);
    Node {
        role,
        kind: at.kind_id(),
        field,
        is_broken: at.has_error(),
        in_broken: at.is_error() || above.is_some_and(|node| node.in_broken),
        start: at.start_byte() as u32,
        end: at.end_byte() as u32,
        parent: parent.unwrap_or(0),
        last: id + 1,
        function: match (parent, above) {
            (Some(parent), Some(node)) if matches!(node.role, Role::Function | Role::Lambda) => parent,
            (_, Some(node)) => node.function,
            _ => 0,
        },
        statement: match above {
            Some(node) if node.role != Role::Block => node.statement,
            _ => id,
        },
    }
}
