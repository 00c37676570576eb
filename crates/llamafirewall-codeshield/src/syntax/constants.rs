//! Which expressions are constant strings, followed through names that only ever get constants.

use super::facts::{Binding, Bound};
use super::tree::{NodeId, Tree};
use super::vocabulary::{Field, Grammar, Role};

/// How deep an expression and the names in it are followed.
const DEPTH: u32 = 24;

impl<'t> Tree<'t> {
    /// Whether an expression is a string that the code itself holds.
    pub(crate) fn is_constant_string(&self, id: NodeId) -> bool {
        self.string(id).is_some()
    }

    /// The value of a constant string; escapes are left as they are written.
    pub(crate) fn string(&self, id: NodeId) -> Option<String> {
        self.constant(id, DEPTH)
    }

    /// A string that is written right here.
    pub(crate) fn literal(&self, id: NodeId) -> Option<&'t str> {
        let id = self.bare(id);
        let is_plain = matches!(self.role(id), Role::Str | Role::Template) && !self.is_interpolated(id);
        is_plain.then(|| self.content(id))
    }

    /// Whether values are put into a string literal: `f"{x}"`, `` `${x}` ``, `$"{x}"`.
    pub(crate) fn is_interpolated(&self, id: NodeId) -> bool {
        matches!(self.role(id), Role::Str | Role::Template)
            && self.within(id).any(|inner| self.role(inner) == Role::Interpolation)
    }

    fn constant(&self, id: NodeId, depth: u32) -> Option<String> {
        if depth == 0 {
            return None;
        }
        let id = self.bare(id);
        match self.role(id) {
            Role::Str if self.kind(id) == "concatenated_string" => {
                let parts = self.parts(id).map(|part| self.constant(part, depth - 1));
                parts.collect::<Option<Vec<String>>>().map(|parts| parts.concat())
            }
            Role::Str | Role::Template if !self.is_interpolated(id) => Some(self.content(id).to_owned()),
            Role::Str | Role::Template => self.constant_template(id, depth - 1),
            Role::Conditional => self.constant_branches(id, depth - 1),
            Role::Binary if self.operator(id) == "+" => {
                let left = self.constant(self.child(id, Field::Left)?, depth - 1)?;
                let right = self.constant(self.child(id, Field::Right)?, depth - 1)?;
                Some(left + &right)
            }
            Role::Name => self.constant_name(id, depth - 1),
            Role::Member if self.grammar == Grammar::Java => {
                self.child(id, Field::Object).filter(|&object| self.text(object) == "this")?;
                let name = self.text(self.child(id, Field::Name)?);
                let mut fields = self.bindings.get(name)?.iter().filter(|binding| binding.function == 0);
                let only = fields.next().filter(|_| fields.next().is_none())?;
                self.constant_value(only, depth - 1)
            }
            Role::Member if self.grammar.reads_scripts() => self.constant_own(id, depth - 1),
            _ => None,
        }
    }

    /// `this.name` of JavaScript where the class gives it one value, a constant, in its declaration or constructor.
    fn constant_own(&self, id: NodeId, depth: u32) -> Option<String> {
        let mut class = self.node(id).parent;
        while self.kind(class) != "class_body" {
            class = self.node(Some(class).filter(|&inner| inner != 0)?).parent;
        }
        let name = self.text(self.child(id, Field::Name)?);
        let is_own = |target: NodeId| {
            let of = |field: Field| self.child(target, field).map_or("", |part| self.text(part));
            self.role(target) == Role::Member && of(Field::Object) == "this" && of(Field::Name) == name
        };
        if !is_own(id) {
            return None;
        }
        let is_given = |&id: &NodeId| match self.role(id) {
            Role::Assign | Role::Augment => self.parts(id).next().is_some_and(is_own),
            _ => {
                matches!(self.kind(id), "field_definition" | "public_field_definition")
                    && self.child(id, Field::Value).is_some()
                    && self.child(id, Field::Name).is_some_and(|field| self.text(field) == name)
            }
        };
        let mut given = self.within(class).filter(is_given);
        let only = given.next().filter(|_| given.next().is_none())?;
        let is_made = || {
            let function = self.node(only).function;
            self.child(function, Field::Name).is_some_and(|name| self.text(name) == "constructor")
        };
        match self.assigned(only) {
            Some((_, value)) => self.constant(value, depth).filter(|_| is_made()),
            None => self.constant(self.child(only, Field::Value)?, depth),
        }
    }

    /// A choice between constants: one of them.
    fn constant_branches(&self, id: NodeId, depth: u32) -> Option<String> {
        let condition = match self.grammar {
            Grammar::Python => self.parts(id).nth(1)?,
            _ => self.child(id, Field::Condition)?,
        };
        let branches = self.parts(id).filter(|&part| part != condition);
        let values: Option<Vec<String>> = branches.map(|branch| self.constant(branch, depth)).collect();
        values?.pop()
    }

    /// A template whose values are constants.
    fn constant_template(&self, id: NodeId, depth: u32) -> Option<String> {
        let mut text = String::new();
        let mut at = self.node(id).start;
        for part in self.parts(id).filter(|&part| self.role(part) == Role::Interpolation) {
            let value = self.parts(part).find(|&value| !self.kind(value).starts_with("interpolation_"))?;
            text += &self.text[at as usize..self.node(part).start as usize];
            text += &self.constant(value, depth)?;
            at = self.node(part).end;
        }
        text += &self.text[at as usize..self.node(id).end as usize];
        Some(text.trim_start_matches(['$', 'f', 'r']).trim_matches(['`', '"', '\'']).to_owned())
    }

    /// A name whose bindings are all constants, or whose last binding on the way here is one.
    fn constant_name(&self, id: NodeId, depth: u32) -> Option<String> {
        let bindings = self.bindings_at(self.text(id), id);
        let value = |binding: &Binding| self.constant_value(binding, depth);
        if bindings.is_empty() && self.grammar == Grammar::Java {
            return self.constant_field(self.text(id), depth);
        }
        let is_here = bindings.first().is_some_and(|binding| binding.function == self.node(id).function);
        if !is_here {
            let [only] = bindings.as_slice() else { return None };
            return value(only);
        }
        let is_before = |binding: &&Binding| match binding.value {
            Bound::To(_) => self.node(binding.node).last <= id,
            Bound::From(_) | Bound::Unknown => binding.node < id,
        };
        let last = bindings.iter().rev().find(is_before)?;
        let block = self.block(last.node);
        if self.contains(block, id) {
            return value(last);
        }
        let values: Option<Vec<String>> = bindings.iter().map(value).collect();
        values?.pop()
    }

    /// What a binding gives. A field of Java that others may set holds anything.
    fn constant_value(&self, binding: &Binding, depth: u32) -> Option<String> {
        let parent = self.node(binding.node).parent;
        if self.grammar == Grammar::Java && self.kind(parent) == "field_declaration" && !self.is_kept(parent)
        {
            return None;
        }
        match binding.value {
            Bound::To(value) => self.constant(value, depth),
            Bound::From(_) | Bound::Unknown => None,
        }
    }

    /// Whether nobody outside of its class sets a field of Java.
    fn is_kept(&self, declaration: NodeId) -> bool {
        let modifiers = self.children(declaration).find(|&part| self.kind(part) == "modifiers");
        let mut words = modifiers.into_iter().flat_map(|modifiers| self.text(modifiers).split_whitespace());
        words.any(|word| matches!(word, "private" | "final"))
    }

    /// A field of Java that a constructor alone gives its value.
    fn constant_field(&self, name: &str, depth: u32) -> Option<String> {
        let field = self.types.get(name)?.iter().find(|typed| typed.function == 0)?;
        let declaration = self.node(self.node(field.node).parent).parent;
        if !self.is_kept(declaration) {
            return None;
        }
        let is_made = |function: NodeId| self.kind(function) == "constructor_declaration";
        match self.bindings.get(name).map(Vec::as_slice) {
            Some([only]) => self.constant_value(only, depth).filter(|_| is_made(only.function)),
            Some([_, ..]) => None,
            Some([]) | None => {
                let (assignment, value) = self.given_to_own(name)?;
                self.constant(value, depth).filter(|_| is_made(self.node(assignment).function))
            }
        }
    }

    /// The one assignment `this.name = value`, and its value.
    fn given_to_own(&self, name: &str) -> Option<(NodeId, NodeId)> {
        self.spend(self.all());
        let is_own = |target: NodeId| {
            let is = |field: Field, text: &str| {
                self.child(target, field).is_some_and(|part| self.text(part) == text)
            };
            is(Field::Object, "this") && is(Field::Name, name)
        };
        let mut found = self.all().filter_map(|id| {
            let (target, value) = self.assigned(id)?;
            is_own(target).then_some((id, value))
        });
        found.next().filter(|_| found.next().is_none())
    }

    /// What stands between the quotes.
    fn content(&self, id: NodeId) -> &'t str {
        let text = self.text(id);
        let prefixed = self.grammar == Grammar::Python
            || self.grammar == Grammar::CSharp
            || self.grammar == Grammar::Cpp;
        let text = if prefixed {
            text.trim_start_matches(|c: char| c.is_alphabetic() || c == '@' || c == '$')
        } else {
            text
        };
        let quotes = if text.starts_with("\"\"\"") || text.starts_with("'''") { 3 } else { 1 };
        text.get(quotes..text.len().saturating_sub(quotes)).unwrap_or_default()
    }

    /// The sign of a binary expression or an assignment.
    pub(crate) fn operator(&self, id: NodeId) -> &'t str {
        self.child(id, Field::Operator).map_or("", |operator| self.text(operator))
    }

    /// The operands of a chain of one sign, left to right: of `a + b + c` three.
    pub(crate) fn operands(&self, id: NodeId, sign: &str) -> Vec<NodeId> {
        let mut operands = Vec::new();
        let mut at = self.bare(id);
        while self.role(at) == Role::Binary && self.operator(at) == sign {
            let (Some(left), Some(right)) = (self.child(at, Field::Left), self.child(at, Field::Right))
            else {
                break;
            };
            operands.push(right);
            at = left;
        }
        operands.push(at);
        operands.reverse();
        operands
    }
}
