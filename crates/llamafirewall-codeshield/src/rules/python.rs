//! Rules for Python.

use super::TreeRule;
use crate::issue::Severity::Warning;
use crate::syntax::{Call, Field, NodeId, Role, Tree};

pub(crate) const RULES: &[TreeRule] = &[
    TreeRule {
        id: "unsafe-dill-use",
        cwe: "CWE-502",
        severity: Warning,
        message: "dill.loads runs code that the data holds; use a format that holds data only",
        needles: &["dill"],
        check: |tree, found| calls_without_constant(tree, &["dill.loads"], Constant::IsAll, found),
    },
    TreeRule {
        id: "unsafe-json-pickle-use",
        cwe: "CWE-502",
        severity: Warning,
        message: "jsonpickle builds any object that the data names; use json",
        needles: &["jsonpickle"],
        check: |tree, found| {
            let names = ["jsonpickle.decode", "jsonpickle.unpickler.decode"];
            calls_without_constant(tree, &names, Constant::IsAll, found);
        },
    },
    TreeRule {
        id: "unsafe-pickle-use",
        cwe: "CWE-502",
        severity: Warning,
        message: "pickle.loads runs code that the data holds; use a format that holds data only",
        needles: &["pickle"],
        check: |tree, found| {
            calls_without_constant(tree, &["pickle.loads", "_pickle.loads"], Constant::IsAll, found);
        },
    },
    TreeRule {
        id: "unsafe-yaml-use",
        cwe: "CWE-502",
        severity: Warning,
        message: "this YAML loader builds any object that the document names; use yaml.safe_load",
        needles: &["Loader"],
        check: yaml_loader,
    },
    TreeRule {
        id: "insecure-eval-use",
        cwe: "CWE-94",
        severity: Warning,
        message: "eval of something that is not a constant runs whatever it holds",
        needles: &["eval("],
        check: |tree, found| own_builtin(tree, "eval", found),
    },
    TreeRule {
        id: "insecure-exec-use",
        cwe: "CWE-94",
        severity: Warning,
        message: "exec of something that is not a constant runs whatever it holds",
        needles: &["exec|"],
        check: |tree, found| {
            own_builtin(tree, "exec", found);
            exec_statements(tree, found);
        },
    },
    TreeRule {
        id: "insecure-os-popen-use",
        cwe: "CWE-78",
        severity: Warning,
        message: "os.popen hands a built command to a shell; pass a list to subprocess.run",
        needles: &["popen"],
        check: |tree, found| calls_without_constant(tree, &["os.popen"], Constant::IsFirst, found),
    },
    TreeRule {
        id: "insecure-os-system-use",
        cwe: "CWE-78",
        severity: Warning,
        message: "os.system hands a built command to a shell; pass a list to subprocess.run",
        needles: &["system(", "system as"],
        check: |tree, found| calls_without_constant(tree, &["os.system"], Constant::IsAll, found),
    },
    TreeRule {
        id: "cursor-execute-sqli",
        cwe: "CWE-89",
        severity: Warning,
        message: "a query is put together from values; pass them as parameters",
        needles: &["execute*("],
        check: built_query,
    },
    TreeRule {
        id: "insecure-subprocess-using-shell",
        cwe: "CWE-78",
        severity: Warning,
        message: "a built command goes through a shell; pass a list and leave shell out",
        needles: &["shell=", "create_subprocess_shell"],
        check: through_shell,
    },
];

/// Which constant argument makes a call harmless.
#[derive(Clone, Copy)]
enum Constant {
    /// The only argument.
    IsAll,
    /// The first of any number.
    IsFirst,
}

fn calls_without_constant(tree: &Tree<'_>, names: &[&str], harmless: Constant, found: &mut Vec<NodeId>) {
    for call in tree.calls_in(tree.all()) {
        if !names.iter().any(|name| name.ends_with(call.name) || tree.aliases.contains_key(call.name)) {
            continue;
        }
        if tree.calls_one_of(call, names) && !is_harmless(tree, call, harmless) {
            found.push(call.node);
        }
    }
}

fn is_harmless(tree: &Tree<'_>, call: &Call<'_>, harmless: Constant) -> bool {
    let may_have_more = matches!(harmless, Constant::IsFirst);
    (may_have_more || call.arguments.len() == 1)
        && call.positional(0).is_some_and(|first| tree.is_constant_string(first))
}

/// `eval` and `exec`, unless the code defines its own before.
fn own_builtin(tree: &Tree<'_>, name: &str, found: &mut Vec<NodeId>) {
    let defined: Vec<NodeId> = tree
        .all()
        .filter(|&id| tree.role(id) == Role::Function)
        .filter(|&id| tree.child(id, Field::Name).is_some_and(|called| tree.text(called) == name))
        .collect();
    let is_own =
        |at: NodeId| defined.iter().any(|&function| function < at && tree.contains(tree.block(function), at));
    for call in tree.calls_in(tree.all()) {
        let is_it = call.receiver.is_none() && call.name == name && !call.arguments.is_empty();
        if is_it && !is_harmless(tree, call, Constant::IsAll) && !is_own(call.node) {
            found.push(call.node);
        }
    }
}

/// `exec code` of Python 2.
fn exec_statements(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    let statements = tree.all().filter(|&id| tree.kind(id) == "exec_statement");
    found.extend(
        statements.filter(|&id| tree.parts(id).next().is_some_and(|code| !tree.is_constant_string(code))),
    );
}

fn yaml_loader(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    const UNSAFE: [&str; 4] = ["yaml.Loader", "Loader", "yaml.UnsafeLoader", "UnsafeLoader"];
    for call in tree.calls_in(tree.all()).iter().filter(|call| call.name == "load" || call.receiver.is_none())
    {
        let Some(loader) = call.named("Loader") else { continue };
        let is_unsafe = UNSAFE.iter().any(|name| tree.text(loader).starts_with(name));
        let is_constant = call.positional(0).is_some_and(|first| tree.is_constant_string(first));
        let is_harmless = is_constant && call.arguments.len() == 2;
        if is_unsafe && !is_harmless && tree.calls_one_of(call, &["yaml.load"]) {
            found.push(call.node);
        }
    }
}

fn built_query(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    for call in tree.calls_in(tree.all()).iter().filter(|call| call.name.starts_with("execute")) {
        let [query] = call.arguments.as_slice() else { continue };
        if !call.receiver.is_some_and(|receiver| is_cursor(tree.text(receiver))) {
            continue;
        }
        let is_built = match tree.role(tree.bare(query.value)) {
            Role::Name => is_built_before(tree, query.value),
            _ => is_built_here(tree, query.value),
        };
        if is_built && query.name.is_none() {
            found.push(call.node);
        }
    }
}

/// Names that cursors and connections go by.
fn is_cursor(receiver: &str) -> bool {
    let name = receiver.strip_prefix("self.").unwrap_or(receiver).to_ascii_lowercase();
    let word: String = name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    name.starts_with("cur")
        || name.starts_with("conn")
        || word.contains("cursor")
        || word.contains("connection")
}

/// Whether a query is formatted or joined in place: `s % x`, `s.format(x)`, `f"{x}"`, `s + x`. A sum whose last
/// part is a constant counts only if the part before it is none.
fn is_built_here(tree: &Tree<'_>, query: NodeId) -> bool {
    let query = tree.bare(query);
    match tree.role(query) {
        Role::Str => tree.is_interpolated(query),
        Role::Call => is_format(tree, query),
        Role::Binary if tree.operator(query) == "%" => true,
        Role::Binary if tree.operator(query) == "+" => {
            let operands = tree.operands(query, "+");
            let is_constant = |back: usize| {
                operands.len().checked_sub(back).is_some_and(|at| tree.is_constant_string(operands[at]))
            };
            if operands.len() == 2 { !is_constant(1) } else { !(is_constant(1) && is_constant(2)) }
        }
        _ => false,
    }
}

fn is_format(tree: &Tree<'_>, id: NodeId) -> bool {
    let function = tree.child(id, Field::Function);
    let name = function.and_then(|function| tree.child(function, Field::Name));
    name.is_some_and(|name| tree.text(name) == "format")
}

/// Whether a name was given a query made from a literal and values before, in a block around the call.
fn is_built_before(tree: &Tree<'_>, name: NodeId) -> bool {
    tree.bindings_at(tree.text(name), name).iter().any(|binding| {
        let block = tree.block(binding.node);
        let Some((_, value)) = tree.given(binding.node) else { return false };
        binding.node < name && tree.contains(block, name) && is_built_from_literal(tree, tree.bare(value))
    })
}

fn is_built_from_literal(tree: &Tree<'_>, value: NodeId) -> bool {
    let starts_with_literal = |field| {
        tree.child(value, field).is_some_and(|left| {
            let left =
                if tree.role(left) == Role::Member { tree.child(left, Field::Object) } else { Some(left) };
            left.is_some_and(|left| tree.is_constant_string(left))
        })
    };
    match tree.role(value) {
        Role::Str => tree.is_interpolated(value),
        Role::Call => is_format(tree, value) && starts_with_literal(Field::Function),
        Role::Binary if tree.operator(value) == "+" => {
            tree.operands(value, "+").first().is_some_and(|first| tree.is_constant_string(*first))
        }
        Role::Binary => tree.operator(value) == "%" && starts_with_literal(Field::Left),
        _ => false,
    }
}

fn through_shell(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    const STARTERS: [&str; 5] = ["Popen", "run", "call", "check_call", "check_output"];
    for call in tree.calls_in(tree.all()) {
        let is_bare = call.receiver.is_none();
        let is_shell_function = is_bare
            && (call.name == "create_subprocess_shell"
                || tree.calls_one_of(call, &["asyncio.create_subprocess_shell"]));
        let starts = is_below(tree, call, "subprocess.") || is_bare && STARTERS.contains(&call.name);
        let uses_shell = starts && call.named("shell").is_some_and(|value| is_true(tree, value));
        let is_constant = call.positional(0).is_some_and(|first| tree.is_constant_string(first));
        if (is_shell_function || uses_shell) && !is_constant {
            found.push(call.node);
        }
    }
}

/// Whether a function of a module is called, as it is written or as imports resolve it.
fn is_below(tree: &Tree<'_>, call: &Call<'_>, module: &str) -> bool {
    tree.callees(call).is_some_and(|(written, resolved)| {
        written.starts_with(module) || resolved.is_some_and(|resolved| resolved.starts_with(module))
    })
}

/// `True`, also through a name.
fn is_true(tree: &Tree<'_>, value: NodeId) -> bool {
    let value = tree.bare(value);
    if tree.role(value) != Role::Name {
        return tree.text(value) == "True";
    }
    let bindings = tree.bindings_at(tree.text(value), value);
    let last = bindings.iter().rev().find(|binding| binding.node < value);
    last.and_then(|binding| tree.given(binding.node)).is_some_and(|(_, given)| tree.text(given) == "True")
}
