//! What a tree says, collected once: calls, what names are bound to, declared types, imports.

use super::tree::{NodeId, Tree};
use super::vocabulary::{Field, Grammar, Role};

/// A call, or the making of an object.
#[derive(Debug)]
pub(crate) struct Call<'t> {
    pub node: NodeId,
    /// `new Name(...)`.
    pub makes: bool,
    /// What stands before the last dot.
    pub receiver: Option<NodeId>,
    /// The last part of what is called; empty where that is no name. Of `new a.b.C()`: `a.b.C`.
    pub name: &'t str,
    pub arguments: Vec<Argument<'t>>,
}

/// An argument, and its name where the call gives one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Argument<'t> {
    pub name: Option<&'t str>,
    pub value: NodeId,
}

/// One place where a name gets a value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binding {
    pub node: NodeId,
    pub function: NodeId,
    pub value: Bound,
}

/// What a name is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// This expression.
    To(NodeId),
    /// An element of this expression, or its old value with something added.
    From(NodeId),
    /// Something from outside: a parameter.
    Unknown,
}

/// A name with a declared type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Typed<'t> {
    pub node: NodeId,
    pub function: NodeId,
    pub type_name: &'t str,
}

impl<'t> Call<'t> {
    /// The values of all arguments.
    pub(crate) fn values(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.arguments.iter().map(|argument| argument.value)
    }

    /// The argument at a place, if it is not given by name.
    pub(crate) fn positional(&self, place: usize) -> Option<NodeId> {
        self.arguments.get(place).filter(|argument| argument.name.is_none()).map(|argument| argument.value)
    }

    /// The argument of a name.
    pub(crate) fn named(&self, name: &str) -> Option<NodeId> {
        self.arguments.iter().find(|argument| argument.name == Some(name)).map(|argument| argument.value)
    }
}

/// A path without space around its dots.
fn without_space(path: &str) -> String {
    path.split('.').map(str::trim).collect::<Vec<_>>().join(".")
}

impl<'t> Tree<'t> {
    pub(super) fn collect_facts(&mut self) {
        for id in 0..self.nodes.len() as NodeId {
            match self.role(id) {
                Role::Call | Role::New => {
                    if let Some(call) = self.read_call(id) {
                        self.calls.push(call);
                    }
                }
                Role::Assign | Role::Augment | Role::Declarator | Role::ForEach => self.read_binding(id),
                Role::Parameter => self.read_parameter(id),
                Role::Declaration => self.read_declaration(id),
                Role::Import => self.read_import(id),
                Role::Name => self.read_bare_parameter(id),
                _ => {}
            }
        }
    }

    fn read_call(&self, id: NodeId) -> Option<Call<'t>> {
        let arguments = self.child(id, Field::Arguments).map(|list| self.read_arguments(list));
        let arguments = arguments.unwrap_or_default();
        if self.role(id) == Role::New {
            let made = self.child(id, Field::Type).or_else(|| self.child(id, Field::Function))?;
            let name = self.text(made);
            let name = name.split_once('<').map_or(name, |(name, _)| name);
            return Some(Call { node: id, makes: true, receiver: None, name, arguments });
        }
        let (receiver, name) = match self.child(id, Field::Function).map(|function| self.bare(function)) {
            Some(function) => match self.role(function) {
                Role::Name => (None, self.plain_name(function)),
                Role::Member => {
                    let name = self.child(function, Field::Name).map_or("", |name| self.plain_name(name));
                    (self.child(function, Field::Object), name)
                }
                _ => (Some(function), ""),
            },
            None => (self.child(id, Field::Object), self.text(self.child(id, Field::Name)?)),
        };
        Some(Call { node: id, makes: false, receiver, name, arguments })
    }

    fn read_arguments(&self, list: NodeId) -> Vec<Argument<'t>> {
        let read = |id| match self.role(id) {
            Role::Argument => Argument {
                name: self.child(id, Field::Name).map(|name| self.text(name)),
                value: self.child(id, Field::Value).or_else(|| self.parts(id).last()).unwrap_or(id),
            },
            _ => Argument { name: None, value: id },
        };
        self.parts(list).map(read).collect()
    }

    /// A name without its type arguments.
    fn plain_name(&self, id: NodeId) -> &'t str {
        let text = self.text(id);
        text.split_once('<').map_or(text, |(name, _)| name)
    }

    fn bind(&mut self, name: NodeId, value: Bound, node: NodeId) {
        if self.role(name) == Role::Name {
            let binding = Binding { node, function: self.node(node).function, value };
            self.bindings.entry(self.text(name)).or_default().push(binding);
            self.bound_at.insert(node, (self.text(name), value));
        }
    }

    fn read_binding(&mut self, id: NodeId) {
        match self.role(id) {
            Role::ForEach => {
                let name = self.child(id, Field::Left).or_else(|| self.child(id, Field::Name));
                let from = self.child(id, Field::Right).or_else(|| self.child(id, Field::Value));
                if let (Some(name), Some(from)) = (name, from) {
                    self.bind(name, Bound::From(from), id);
                }
            }
            Role::Declarator => {
                if let (Some(name), Some(value)) = (self.declared_name(id), self.declared_value(id)) {
                    self.bind(name, Bound::To(value), id);
                }
            }
            _ => {
                let left = self.child(id, Field::Left).or_else(|| self.parts(id).next());
                let value = match self.assigned(id) {
                    Some((_, value)) => Bound::To(value),
                    None => Bound::From(self.child(id, Field::Right).unwrap_or(id)),
                };
                let has_value = self.child(id, Field::Right).is_some() || self.role(id) == Role::Augment;
                if let (Some(left), true) = (left, has_value) {
                    self.bind(left, value, id);
                }
            }
        }
    }

    /// Target and value of a plain assignment.
    pub(crate) fn assigned(&self, id: NodeId) -> Option<(NodeId, NodeId)> {
        let operator = self.child(id, Field::Operator).map_or("=", |operator| self.text(operator));
        if self.role(id) != Role::Assign || operator != "=" {
            return None;
        }
        Some((self.child(id, Field::Left)?, self.child(id, Field::Right)?))
    }

    /// Name and value of an assignment or a declaration with a value: `x = 1`, `int x = 1`.
    pub(crate) fn given(&self, id: NodeId) -> Option<(NodeId, NodeId)> {
        match self.role(id) {
            Role::Declarator => Some((self.declared_name(id)?, self.declared_value(id)?)),
            _ => self.assigned(id),
        }
    }

    /// The name that a declarator or parameter declares, below pointers and arrays.
    pub(crate) fn declared_name(&self, mut id: NodeId) -> Option<NodeId> {
        while !matches!(self.role(id), Role::Object | Role::Array) {
            let inner = self.child(id, Field::Name).or_else(|| self.child(id, Field::Declarator));
            match inner {
                Some(name) if self.role(name) == Role::Name => return Some(name),
                Some(declarator) => id = declarator,
                None => {
                    let nested = self.parts(id).find(|&part| {
                        self.role(part) == Role::Name || self.kind(part).ends_with("declarator")
                    })?;
                    if self.role(nested) == Role::Name {
                        return Some(nested);
                    }
                    id = nested;
                }
            }
        }
        None
    }

    fn declared_value(&self, id: NodeId) -> Option<NodeId> {
        if let Some(value) = self.child(id, Field::Value) {
            return Some(value);
        }
        let is_sharp = self.grammar == Grammar::CSharp;
        self.parts(id).nth(1).filter(|&value| is_sharp && self.kind(value) != "bracketed_argument_list")
    }

    fn read_parameter(&mut self, id: NodeId) {
        let Some(name) = self.declared_name(id) else { return };
        self.bind(name, Bound::Unknown, id);
        if let Some(type_node) = self.child(id, Field::Type) {
            self.declare(name, self.text(type_node));
        }
    }

    /// Parameters that are nothing but a name, as in Python and JavaScript.
    fn read_bare_parameter(&mut self, id: NodeId) {
        let parent = self.node(id).parent;
        let is_listed = self.kind(parent).ends_with("parameters");
        if id != 0 && (is_listed || self.node(id).field == Field::Parameters) {
            self.bind(id, Bound::Unknown, id);
        }
    }

    fn declare(&mut self, name: NodeId, type_name: &'t str) {
        let typed = Typed { node: name, function: self.node(name).function, type_name };
        self.types.entry(self.text(name)).or_default().push(typed);
    }

    fn read_declaration(&mut self, id: NodeId) {
        let Some(type_node) = self.child(id, Field::Type) else { return };
        let declared: Vec<NodeId> = self
            .parts(id)
            .filter(|&part| part != type_node && self.kind(part).ends_with("declarator"))
            .collect();
        for declarator in declared {
            let Some(name) = self.declared_name(declarator) else { continue };
            let written = self.text(type_node);
            let type_name = match written {
                "var" => self.declared_value(declarator).and_then(|value| self.made_type(value)),
                _ => Some(written),
            };
            if let Some(type_name) = type_name {
                self.declare(name, type_name);
            }
        }
    }

    /// The type of `new Type(...)`.
    fn made_type(&self, id: NodeId) -> Option<&'t str> {
        let id = self.bare(id);
        let made = (self.role(id) == Role::New).then(|| self.child(id, Field::Type)).flatten()?;
        Some(self.text(made))
    }

    fn read_import(&mut self, id: NodeId) {
        match self.grammar {
            Grammar::Python => self.read_python_import(id),
            Grammar::Java => {
                let text = self.text(id).trim_start_matches("import").trim().trim_end_matches(';').trim();
                if let Some((_, last)) = text.rsplit_once('.').filter(|(_, last)| last.trim() != "*") {
                    self.aliases.insert(last.trim(), without_space(text));
                }
                self.imports.push((without_space(text), id));
            }
            Grammar::CSharp => {
                let text =
                    self.text(id).trim_start_matches("global").trim().trim_start_matches("using").trim();
                self.imports.push((without_space(text.trim_end_matches(';')), id));
            }
            Grammar::Cpp | Grammar::JavaScript | Grammar::Tsx | Grammar::TypeScript => {}
        }
    }

    fn read_python_import(&mut self, id: NodeId) {
        let module = self.child(id, Field::Source);
        let named: Vec<NodeId> = self.parts(id).filter(|&part| Some(part) != module).collect();
        for part in named {
            if let Some(module) = module.filter(|_| self.kind(part) == "wildcard_import") {
                self.stars.insert(self.text(module));
                continue;
            }
            let name = self.child(part, Field::Name).unwrap_or(part);
            let alias = self.children(part).filter(|&child| child != name).last().unwrap_or(part);
            let full = match module {
                Some(module) => format!("{}.{}", self.text(module), self.text(name)),
                None => self.text(name).to_owned(),
            };
            if module.is_some() || alias != part {
                self.aliases.insert(self.text(alias), full);
            }
        }
    }

    /// `a.b.c` of names joined by dots; `None` where something else is among them.
    pub(crate) fn path(&self, id: NodeId) -> Option<String> {
        let mut names = Vec::new();
        let mut at = self.bare(id);
        while self.role(at) == Role::Member {
            names.push(self.plain_name(self.child(at, Field::Name)?));
            at = self.bare(self.child(at, Field::Object)?);
        }
        if self.role(at) != Role::Name {
            return None;
        }
        names.push(self.plain_name(at));
        names.reverse();
        Some(names.join("."))
    }

    /// What is called, by its full path: as it is written, and with imports resolved where they give another one.
    pub(crate) fn callees(&self, call: &Call<'t>) -> Option<(String, Option<String>)> {
        let path = match call.receiver {
            Some(receiver) => format!("{}.{}", self.path(receiver)?, call.name),
            None => call.name.to_owned(),
        };
        let (first, rest) =
            path.split_once('.').map_or((path.as_str(), None), |(first, rest)| (first, Some(rest)));
        let resolved = match (self.aliases.get(first), rest) {
            (Some(full), Some(rest)) => Some(format!("{full}.{rest}")),
            (Some(full), None) => Some(full.clone()),
            (None, _) => None,
        };
        Some((path, resolved))
    }

    /// Whether one of `names`, full paths, is called: by that path, whatever an import makes of it (`import cPickle as pickle`), by what
    /// imports make of another one, or by its last part where everything of its module is imported.
    pub(crate) fn calls_one_of(&self, call: &Call<'t>, names: &[&str]) -> bool {
        let Some((written, resolved)) = self.callees(call) else { return false };
        let is_from_star = |name: &str| {
            let split = name.rsplit_once('.').filter(|_| call.receiver.is_none());
            split.is_some_and(|(module, last)| last == call.name && self.stars.contains(module))
        };
        names.iter().any(|name| written == *name || resolved.as_deref() == Some(*name) || is_from_star(name))
    }

    /// The declared type of an expression, as it is written in the code.
    pub(crate) fn type_of(&self, id: NodeId) -> Option<&'t str> {
        let id = self.bare(id);
        match self.role(id) {
            Role::New => self.made_type(id),
            Role::Cast => self.child(id, Field::Type).map(|type_node| self.text(type_node)),
            Role::Name => self.declared_type(self.text(id), id),
            Role::Member => {
                self.child(id, Field::Object).filter(|&object| self.text(object) == "this")?;
                let name = self.child(id, Field::Name)?;
                let mut fields = self.types.get(self.text(name))?.iter().rev();
                fields.find(|typed| typed.function == 0).map(|typed| typed.type_name)
            }
            _ => None,
        }
    }

    /// Whether a name stands for a variable here, and not for a member, an argument or a method.
    pub(crate) fn is_variable(&self, id: NodeId) -> bool {
        let node = self.node(id);
        let is_label = node.field == Field::Name
            && matches!(self.role(node.parent), Role::Member | Role::Argument | Role::Call);
        node.role == Role::Name && !is_label
    }

    /// The nearest declaration of `name` before `at`, from the inner function outwards.
    fn declared_type(&self, name: &str, at: NodeId) -> Option<&'t str> {
        let all = self.types.get(name)?;
        self.spend(0..all.len() as NodeId);
        let mut function = self.node(at).function;
        loop {
            let here = all.iter().rev().filter(|typed| typed.function == function);
            let found = here.clone().find(|typed| typed.node < at).or_else(|| here.clone().next());
            if found.is_some() || function == 0 {
                return found.map(|typed| typed.type_name);
            }
            function = self.node(function).function;
        }
    }

    /// Whether `written` names the type `full` (`System.IO.File`), by itself or with an import.
    pub(crate) fn names_type(&self, written: &str, full: &str) -> bool {
        let written = written.trim_end_matches('?');
        if written == full {
            return true;
        }
        let Some((space, short)) = full.rsplit_once('.') else { return false };
        let short_matches = written == short;
        short_matches
            && self.imports.iter().any(|(import, _)| {
                import == space || import == full || import.strip_suffix(".*") == Some(space)
            })
    }

    /// Whether an import brings `module` or something below it.
    pub(crate) fn imports_below(&self, module: &str) -> bool {
        self.imports.iter().any(|(import, _)| {
            import.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    /// The bindings of a name that can be seen from a place: those of the innermost function that has any.
    pub(crate) fn bindings_at(&self, name: &str, at: NodeId) -> Vec<Binding> {
        let Some(all) = self.bindings.get(name) else { return Vec::new() };
        self.spend(0..all.len() as NodeId);
        let mut function = self.node(at).function;
        loop {
            let here: Vec<Binding> =
                all.iter().filter(|binding| binding.function == function).copied().collect();
            if !here.is_empty() || function == 0 {
                return here;
            }
            function = self.node(function).function;
        }
    }
}
