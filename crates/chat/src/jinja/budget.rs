//! What one rendering may spend: steps, bytes, depth.

use super::error::{Kind, Result, fail};

/// Steps of the interpreter in one rendering: each expression, statement and pass of a loop is one.
const STEPS: u64 = 1_000_000;
/// As many again for each byte of the messages.
const STEPS_PER_INPUT: u64 = 32;
/// Bytes of strings and lists that one rendering may make in all, whether it keeps them or not.
const BYTES: usize = 64 << 20;
/// As many again for each byte of the messages.
const BYTES_PER_INPUT: usize = 64;
/// Nested expressions, statements and macros.
const DEPTH: usize = 400;
/// Lists in lists.
pub(crate) const VALUE_DEPTH: usize = 200;

/// What is left.
#[derive(Debug)]
pub(crate) struct Budget {
    steps: u64,
    bytes: usize,
    depth: usize,
}

impl Budget {
    /// For messages and tools of `input` bytes in all.
    pub fn new(input: usize) -> Self {
        let steps = STEPS.saturating_add(STEPS_PER_INPUT.saturating_mul(input as u64));
        Self { steps, bytes: BYTES.saturating_add(input.saturating_mul(BYTES_PER_INPUT)), depth: 0 }
    }

    pub fn step(&mut self) -> Result<()> {
        self.steps(1)
    }

    pub fn steps(&mut self, n: usize) -> Result<()> {
        match self.steps.checked_sub(n as u64) {
            Some(left) => self.steps = left,
            None => return fail(Kind::Limit, "the template takes more steps than the messages are worth"),
        }
        Ok(())
    }

    /// Before `n` bytes are made, or looked at.
    pub fn bytes(&mut self, n: usize) -> Result<()> {
        match self.bytes.checked_sub(n) {
            Some(left) => self.bytes = left,
            None => return fail(Kind::Limit, "the template makes more text than the messages are worth"),
        }
        Ok(())
    }

    /// Before `n` bytes are compared, hashed or parsed: many of them take as long as steps do.
    pub fn reads(&mut self, n: usize) -> Result<()> {
        self.steps(n / 64)
    }

    /// Before a list of `n` values is made.
    pub fn items(&mut self, n: usize) -> Result<()> {
        self.bytes(n.saturating_mul(size_of::<super::value::Value>()).saturating_add(64))
    }

    pub fn enter(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > DEPTH {
            return fail(Kind::Limit, format!("expressions, statements and macros nest deeper than {DEPTH}"));
        }
        self.step()
    }

    pub fn leave(&mut self) {
        self.depth -= 1;
    }
}
