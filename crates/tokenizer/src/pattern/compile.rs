//! From the tree to the table: threads in order of preference (Thompson), then sets of threads (determinised).
//!
//! An entry of the table looks one symbol ahead: the assertions of a state are decided by the symbol that comes
//! next, and "matched" is noted before that symbol is consumed. So look-ahead by one character costs nothing.

use std::collections::HashMap;

use super::classes::{Alphabet, Symbols};
use super::parse::{Node, Tree};
use super::{DEAD, Pattern, PatternError, STATE_BITS};

const MAX_THREADS: usize = 20_000;
const MAX_STATES: usize = 1 << STATE_BITS;
/// Bound on the work of determinising, in visited threads.
const MAX_WORK: usize = 20_000_000;
/// Entries of the table: 4 MiB.
const MAX_ENTRIES: usize = 1 << 20;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Consumes a symbol of the set.
    Take(usize, u32),
    /// Goes on if the next symbol is in the set.
    Ahead(Symbols, u32),
    StartOfText(u32),
    /// At the start of the text, or behind a line feed that does not end it.
    StartOfLine(u32),
    /// Tries the first, then the second.
    Split(u32, u32),
    Match,
}

pub(super) fn compile(tree: &Tree) -> Result<Pattern, PatternError> {
    let (alphabet, sets) = Alphabet::new(&tree.sets)?;
    let mut program = Program { steps: vec![Step::Match], sets: &sets, alphabet: &alphabet };
    let first = program.emit(&tree.root, 0)?;
    let steps = program.steps;
    let mut machine = Machine::new(&steps, &sets, &alphabet);
    machine.line_feed = tree.line_feed.map(|set| sets[set]);
    let start_of_text = machine.state(vec![first], Place::Text)?;
    let start = machine.state(vec![first], Place::Inside)?;
    let start_of_line =
        machine.state(vec![first], if tree.line_feed.is_some() { Place::Line } else { Place::Inside })?;
    machine.fill()?;
    let width = alphabet.width();
    let matches_at_once =
        |state: u32| machine.table[state as usize * width..][..width].iter().any(|entry| entry & 1 == 1);
    if [start, start_of_line, start_of_text].into_iter().any(matches_at_once) {
        return Err(PatternError::Empty);
    }
    let table = machine.table;
    Ok(Pattern { alphabet, table, width, start_of_text, start_of_line, start })
}

struct Program<'a> {
    steps: Vec<Step>,
    sets: &'a [Symbols],
    alphabet: &'a Alphabet,
}

impl Program<'_> {
    fn push(&mut self, step: Step) -> Result<u32, PatternError> {
        if self.steps.len() >= MAX_THREADS {
            return Err(PatternError::TooLarge { limit: MAX_THREADS, unit: "steps" });
        }
        self.steps.push(step);
        Ok(self.steps.len() as u32 - 1)
    }

    /// Emits `node` so that it continues at `next`; returns where it begins.
    fn emit(&mut self, node: &Node, next: u32) -> Result<u32, PatternError> {
        match node {
            Node::Class(set) => self.push(Step::Take(*set, next)),
            Node::Look { set, negated: false } => self.push(Step::Ahead(self.sets[*set], next)),
            Node::Look { set, negated: true } => {
                self.push(Step::Ahead(self.sets[*set].complement(self.alphabet.width()), next))
            }
            Node::StartOfText => self.push(Step::StartOfText(next)),
            Node::EndOfText => {
                let mut end = Symbols::default();
                end.insert(self.alphabet.end());
                self.push(Step::Ahead(end, next))
            }
            Node::StartOfLine => self.push(Step::StartOfLine(next)),
            Node::EndOfLine(line_feed) => {
                let mut end = self.sets[*line_feed];
                end.insert(self.alphabet.end());
                self.push(Step::Ahead(end, next))
            }
            Node::Concat(nodes) => nodes.iter().rev().try_fold(next, |next, node| self.emit(node, next)),
            Node::Alternatives(nodes) => {
                let mut begin = None;
                for node in nodes.iter().rev() {
                    let branch = self.emit(node, next)?;
                    begin = Some(match begin {
                        None => branch,
                        Some(later) => self.push(Step::Split(branch, later))?,
                    });
                }
                Ok(begin.unwrap_or(next))
            }
            Node::Repeat { node, min, max, greedy } => {
                let tail = match max {
                    None => self.emit_loop(node, next, *greedy)?,
                    Some(max) => (*min..*max).try_fold(next, |again, _| {
                        let body = self.emit(node, again)?;
                        self.push(choice(body, next, *greedy))
                    })?,
                };
                (0..*min).try_fold(tail, |next, _| self.emit(node, next))
            }
        }
    }

    fn emit_loop(&mut self, node: &Node, next: u32, greedy: bool) -> Result<u32, PatternError> {
        let hub = self.push(Step::Match)?;
        let body = self.emit(node, hub)?;
        self.steps[hub as usize] = choice(body, next, greedy);
        Ok(hub)
    }
}

fn choice(body: u32, next: u32, greedy: bool) -> Step {
    if greedy { Step::Split(body, next) } else { Step::Split(next, body) }
}

/// What stands before a thread, as far as a pattern asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    /// Nothing.
    Text,
    /// A line feed.
    Line,
    Inside,
}

/// Threads in order of preference, and where they stand.
type Threads = (Vec<u32>, Place);

struct Machine<'a> {
    steps: &'a [Step],
    sets: &'a [Symbols],
    width: usize,
    /// Symbol of the end of the text.
    end: usize,
    /// The line feed, where the pattern asks for it.
    line_feed: Option<Symbols>,
    known: HashMap<Threads, u32>,
    states: Vec<Threads>,
    table: Vec<u32>,
    seen: Vec<u32>,
    round: u32,
    work: usize,
}

impl<'a> Machine<'a> {
    fn new(steps: &'a [Step], sets: &'a [Symbols], alphabet: &Alphabet) -> Self {
        let none = (Vec::new(), Place::Inside);
        Self {
            steps,
            sets,
            width: alphabet.width(),
            end: alphabet.end(),
            line_feed: None,
            known: HashMap::from([(none.clone(), DEAD)]),
            states: vec![none],
            table: Vec::new(),
            seen: vec![0; steps.len()],
            round: 0,
            work: 0,
        }
    }

    fn state(&mut self, threads: Vec<u32>, place: Place) -> Result<u32, PatternError> {
        let key = (threads, place);
        if let Some(&state) = self.known.get(&key) {
            return Ok(state);
        }
        let limit = MAX_STATES.min(MAX_ENTRIES / self.width);
        if self.states.len() >= limit {
            return Err(PatternError::TooLarge { limit, unit: "states" });
        }
        let state = self.states.len() as u32;
        self.known.insert(key.clone(), state);
        self.states.push(key);
        Ok(state)
    }

    fn fill(&mut self) -> Result<(), PatternError> {
        let mut done = 0;
        while done < self.states.len() {
            let (threads, place) = self.states[done].clone();
            for symbol in 0..self.width {
                let (next, matched) = self.advance(&threads, place, symbol)?;
                let starts_line = self.line_feed.is_some_and(|set| set.contains(symbol)) && !next.is_empty();
                let next = self.state(next, if starts_line { Place::Line } else { Place::Inside })?;
                self.table.push(next << 1 | u32::from(matched));
            }
            done += 1;
        }
        Ok(())
    }

    /// The threads after `symbol`, and whether a match ends before it. A match cuts off all lesser threads.
    fn advance(
        &mut self,
        threads: &[u32],
        place: Place,
        symbol: usize,
    ) -> Result<(Vec<u32>, bool), PatternError> {
        self.round += 1;
        let mut stack: Vec<u32> = threads.iter().rev().copied().collect();
        let mut next = Vec::new();
        while let Some(thread) = stack.pop() {
            if std::mem::replace(&mut self.seen[thread as usize], self.round) == self.round {
                continue;
            }
            self.work += 1;
            match self.steps[thread as usize] {
                Step::Take(set, to) if self.sets[set].contains(symbol) && !next.contains(&to) => {
                    next.push(to)
                }
                Step::Ahead(set, to) if set.contains(symbol) => stack.push(to),
                Step::StartOfText(to) if place == Place::Text => stack.push(to),
                Step::StartOfLine(to) if place == Place::Text => stack.push(to),
                Step::StartOfLine(to) if place == Place::Line && symbol != self.end => stack.push(to),
                Step::Split(first, second) => stack.extend([second, first]),
                Step::Match => return Ok((next, true)),
                _ => {}
            }
        }
        if self.work > MAX_WORK {
            return Err(PatternError::TooLarge { limit: MAX_WORK, unit: "steps of compiling" });
        }
        Ok((next, false))
    }
}
