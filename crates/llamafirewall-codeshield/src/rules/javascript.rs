//! Rules for JavaScript and TypeScript.

use std::collections::{HashMap, HashSet};

use super::TreeRule;
use crate::issue::Severity::Warning;
use crate::syntax::{Call, Field, NodeId, Role, Tree};

pub(crate) const RULES: &[TreeRule] = &[
    TreeRule {
        id: "child-process",
        cwe: "CWE-95",
        severity: Warning,
        message: "a command that is not a constant is run; use execFile with a list of arguments",
        needles: &["child_process"],
        check: |tree, found| {
            let methods = ["exec", "execSync", "spawn", "spawnSync"];
            module_calls(tree, &CHILD_PROCESS, found, &|name| methods.contains(&name).then_some(1));
        },
    },
    TreeRule {
        id: "post-message-origin",
        cwe: "CWE-345",
        severity: Warning,
        message: "postMessage to '*' reaches whatever page stands in that window; name its origin",
        needles: &["postMessage"],
        check: message_to_anyone,
    },
    TreeRule {
        id: "unchecked-origin-onmessage",
        cwe: "CWE-940",
        severity: Warning,
        message: "a handler of messages does not begin by looking at their origin",
        needles: &["'message'", "\"message\"", "`message`", "onmessage"],
        check: message_from_anyone,
    },
    TreeRule {
        id: "unencrypted-fetch",
        cwe: "CWE-319",
        severity: Warning,
        message: "data is loaded over http, where anyone on the way can read and change it",
        needles: &["fetch(", "XMLHttpRequest"],
        check: unencrypted_request,
    },
    TreeRule {
        id: "unsafe-alloc",
        cwe: "CWE-908",
        severity: Warning,
        message: "allocUnsafe hands out memory with what was in it before; use Buffer.alloc",
        needles: &["allocUnsafe"],
        check: |tree, found| {
            let names = ["Buffer.allocUnsafe", "Buffer.allocUnsafeSlow"];
            let calls = tree.calls_in(tree.all()).iter();
            // As the original: a receiver that may be missing is another one to it.
            let is_it = |call: &&Call<'_>| {
                call.name.starts_with("alloc")
                    && tree.calls_one_of(call, &names)
                    && !tree.text(call.node).starts_with("Buffer?")
            };
            found.extend(calls.filter(is_it).map(|call| call.node));
        },
    },
    TreeRule {
        id: "buffer-noassert",
        cwe: "CWE-119",
        severity: Warning,
        message: "noAssert lets reads and writes leave the buffer",
        needles: &["Int8(", "LE(", "BE("],
        check: unasserted_access,
    },
    TreeRule {
        id: "dangerously-set-inner-html",
        cwe: "CWE-79",
        severity: Warning,
        message: "HTML is set without escaping; sanitise it or let React escape it",
        needles: &["dangerouslySetInnerHTML"],
        check: raw_html,
    },
    TreeRule {
        id: "detect-new-buffer",
        cwe: "CWE-770",
        severity: Warning,
        message: "new Buffer(number) allocates as much as a caller asks for, uncleared; use Buffer.from or Buffer.alloc",
        needles: &["Buffer("],
        check: buffer_of_parameter,
    },
    TreeRule {
        id: "eval-with-expression",
        cwe: "CWE-95",
        severity: Warning,
        message: "code is put together and run; find another way to say what it says",
        needles: &["eval|", "Function(", "setTimeout(", "setInterval("],
        check: built_code,
    },
    TreeRule {
        id: "xss-mustache-escape",
        cwe: "CWE-79",
        severity: Warning,
        message: "escaping is switched off in a Mustache template",
        needles: &["mustache"],
        check: unescaped_mustache,
    },
    TreeRule {
        id: "pathtraversal-non-literal-fs-filename",
        cwe: "CWE-22",
        severity: Warning,
        message: "a file is named by something that is not a constant; check that it stays in its folder",
        needles: &["fs'", "fs\"", "fs`", "fs/promises", "fs-extra"],
        check: |tree, found| module_calls(tree, &FILES, found, &paths_of),
    },
    TreeRule {
        id: "dos-non-literal-regexp",
        cwe: "CWE-185",
        severity: Warning,
        message: "a regular expression that is not a constant can take forever",
        needles: &["RegExp("],
        check: built_pattern,
    },
    TreeRule {
        id: "non-literal-require",
        cwe: "CWE-95",
        severity: Warning,
        message: "a module is loaded whose name is not a constant",
        needles: &["require("],
        check: |tree, found| {
            for call in tree.calls_in(tree.all()).iter().filter(|call| is_bare(call, "require")) {
                if let [only] = call.arguments.as_slice()
                    && !tree.is_constant_string(only.value)
                {
                    found.push(call.node);
                }
            }
        },
    },
];

const CHILD_PROCESS: [&str; 2] = ["child_process", "node:child_process"];
const FILES: [&str; 5] = ["fs", "node:fs", "fs/promises", "node:fs/promises", "fs-extra"];

fn is_bare(call: &Call<'_>, name: &str) -> bool {
    !call.makes && call.receiver.is_none() && call.name == name
}

/// How many paths a function of `fs` takes; `None` for functions that take none.
fn paths_of(name: &str) -> Option<usize> {
    const ONE: [&str; 19] = [
        "appendFile",
        "chmod",
        "chown",
        "exists",
        "lchmod",
        "lchown",
        "lstat",
        "mkdir",
        "open",
        "readdir",
        "readFile",
        "readlink",
        "realpath",
        "rmdir",
        "stat",
        "truncate",
        "unlink",
        "utimes",
        "writeFile",
    ];
    const TWO: [&str; 3] = ["link", "rename", "symlink"];
    const ALONE: [&str; 5] = ["createReadStream", "createWriteStream", "unwatchFile", "watch", "watchFile"];
    let stem = name.strip_suffix("Sync").unwrap_or(name);
    if ONE.contains(&stem) || ALONE.contains(&name) { Some(1) } else { TWO.contains(&stem).then_some(2) }
}

/// Local names of a module and of what was taken out of it.
#[derive(Default)]
struct Names<'t> {
    whole: HashSet<&'t str>,
    members: HashMap<&'t str, &'t str>,
}

fn module_names<'t>(tree: &Tree<'t>, modules: &[&str]) -> Names<'t> {
    let mut names = Names::default();
    let is_module = |id: NodeId| tree.string(id).is_some_and(|name| modules.contains(&name.as_str()));
    for id in tree.all() {
        match tree.role(id) {
            Role::Import if imported(tree, id).is_some_and(is_module) => {
                for part in tree.within(id) {
                    match tree.kind(part) {
                        "import_specifier" => add_member(tree, part, &mut names),
                        "identifier" if tree.kind(tree.node(part).parent) != "import_specifier" => {
                            names.whole.insert(tree.text(part));
                        }
                        _ => {}
                    }
                }
            }
            Role::Assign | Role::Declarator => {
                let Some((target, value)) = tree.given(id).or_else(|| pattern_given(tree, id)) else {
                    continue;
                };
                let value = tree.bare(value);
                let call = tree.calls_in(value..value + 1).first().filter(|call| is_bare(call, "require"));
                if !call.and_then(|call| call.positional(0)).is_some_and(is_module) {
                    continue;
                }
                if tree.role(target) == Role::Name {
                    names.whole.insert(tree.text(target));
                }
                for part in tree.within(target).filter(|_| tree.role(target) == Role::Object) {
                    match tree.kind(part) {
                        "shorthand_property_identifier_pattern" => {
                            names.members.insert(tree.text(part), tree.text(part));
                        }
                        "pair_pattern" => add_member(tree, part, &mut names),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    names
}

/// The module that an import names: `import a from 'm'`, and in TypeScript `import a = require('m')`.
fn imported(tree: &Tree<'_>, import: NodeId) -> Option<NodeId> {
    let source = |id| tree.child(id, Field::Source);
    source(import).or_else(|| tree.parts(import).find_map(source))
}

/// `const { a } = value`.
fn pattern_given(tree: &Tree<'_>, id: NodeId) -> Option<(NodeId, NodeId)> {
    Some((tree.child(id, Field::Name)?, tree.child(id, Field::Value)?))
}

/// `name as alias`, `name: alias` or just a name.
fn add_member<'t>(tree: &Tree<'t>, part: NodeId, names: &mut Names<'t>) {
    let mut parts = tree.parts(part);
    if let Some(name) = parts.next() {
        let alias = parts.next().unwrap_or(name);
        names.members.insert(tree.text(alias), tree.text(name));
    }
}

/// Calls of a module's functions whose first `paths(name)` arguments are not all constants.
fn module_calls(
    tree: &Tree<'_>,
    modules: &[&str],
    found: &mut Vec<NodeId>,
    paths: &dyn Fn(&str) -> Option<usize>,
) {
    let names = module_names(tree, modules);
    if names.whole.is_empty() && names.members.is_empty() {
        return;
    }
    for call in tree.calls_in(tree.all()).iter().filter(|call| !call.makes) {
        let name = match call.receiver {
            Some(receiver) if names.whole.contains(tree.text(tree.bare(receiver))) => call.name,
            None => names.members.get(call.name).copied().unwrap_or_default(),
            _ => continue,
        };
        let Some(paths) = paths(name) else { continue };
        let is_constant = |at| call.positional(at).is_some_and(|path| tree.is_constant_string(path));
        if !(0..paths).all(is_constant) {
            found.push(call.node);
        }
    }
}

fn message_to_anyone(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    for call in tree.calls_in(tree.all()).iter().filter(|call| call.name == "postMessage") {
        let target = call.values().last().and_then(|last| tree.string(last));
        if call.receiver.is_some() && target.is_some_and(|target| target == "*") {
            found.push(call.node);
        }
    }
}

fn message_from_anyone(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    for call in tree.calls_in(tree.all()).iter().filter(|call| call.name == "addEventListener") {
        let is_window = call.receiver.is_some_and(|receiver| tree.text(tree.bare(receiver)) == "window");
        let is_message =
            call.positional(0).and_then(|event| tree.string(event)).is_some_and(|event| event == "message");
        let handler = call.positional(1).filter(|_| is_window && is_message);
        if handler.is_some_and(|handler| !begins_with_origin(tree, handler)) {
            found.push(call.node);
        }
    }
    for id in tree.all() {
        let Some((target, handler)) = tree.assigned(id) else { continue };
        if is_path(tree, target, "window.onmessage") && !begins_with_origin(tree, handler) {
            found.push(id);
        }
    }
}

/// Whether a handler of one parameter consists of one statement, which looks at the parameter's origin. As in the original, one that is
/// `async` does not count.
fn begins_with_origin(tree: &Tree<'_>, handler: NodeId) -> bool {
    let after = tree.text(handler).strip_prefix("async").map(str::trim_start);
    if after.is_some_and(|after| !after.starts_with("=>")) {
        return false;
    }
    let Some(body) = tree.child(handler, Field::Body) else { return false };
    let names = |list: NodeId| tree.parts(list).map(|part| parameter(tree, part)).collect::<Vec<_>>();
    let parameters = match tree.child(handler, Field::Parameters) {
        Some(only) if tree.role(only) == Role::Name => vec![tree.text(only)],
        Some(list) => names(list),
        None => return false,
    };
    let [event] = parameters.as_slice() else { return false };
    let is_one = tree.role(body) != Role::Block || tree.parts(body).count() == 1;
    let origin = format!("{event}.origin");
    is_one && tree.within(body).any(|id| tree.role(id) == Role::Member && tree.text(id) == origin)
}

/// The name of a parameter, whatever its type and default, or what stands in its place.
fn parameter<'t>(tree: &Tree<'t>, part: NodeId) -> &'t str {
    tree.text(tree.declared_name(part).unwrap_or(part))
}

fn is_path(tree: &Tree<'_>, id: NodeId, path: &str) -> bool {
    tree.path(id).is_some_and(|written| written == path)
}

fn unencrypted_request(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    let is_open = |url: &NodeId| tree.literal(*url).is_some_and(is_unencrypted);
    for call in tree.calls_in(tree.all()).iter().filter(|call| is_bare(call, "fetch")) {
        found.extend(call.positional(0).filter(is_open));
    }
    for id in tree.all() {
        let Some((request, value)) = tree.given(id) else { continue };
        let value = tree.bare(value);
        let is_request = tree
            .calls_in(value..value + 1)
            .first()
            .is_some_and(|made| made.makes && made.name == "XMLHttpRequest");
        if !is_request {
            continue;
        }
        for call in tree.calls_in(tree.after(id)).iter().filter(|call| call.name == "open") {
            let is_its = call.receiver.is_some_and(|receiver| tree.text(receiver) == tree.text(request));
            found.extend(call.values().last().filter(|_| is_its).filter(is_open));
        }
    }
}

/// A URL over http that leaves this machine.
fn is_unencrypted(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return false };
    let is_host = |host: &str| {
        rest.strip_prefix(host).is_some_and(|after| {
            let mut after = after.chars();
            match after.next() {
                None | Some('/') => true,
                Some(':') => after.next().is_some_and(|c| c.is_ascii_digit()),
                Some(_) => false,
            }
        })
    };
    !is_host("localhost") && !is_host("127.0.0.1")
}

fn unasserted_access(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    let is_access = |name: &str| {
        let Some(kind) = name.strip_prefix("read").or_else(|| name.strip_prefix("write")) else {
            return false;
        };
        let kind = kind.strip_prefix('U').filter(|kind| kind.starts_with("Int")).unwrap_or(kind);
        let wide = kind.strip_suffix("LE").or_else(|| kind.strip_suffix("BE"));
        kind == "Int8" || wide.is_some_and(|wide| matches!(wide, "Int16" | "Int32" | "Float" | "Double"))
    };
    for call in tree.calls_in(tree.all()) {
        let is_last_true = call.values().last().is_some_and(|last| tree.text(tree.bare(last)) == "true");
        if call.receiver.is_some() && is_last_true && is_access(call.name) {
            found.push(call.node);
        }
    }
}

fn raw_html(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    for id in tree.all() {
        let name = match tree.role(id) {
            Role::JsxAttribute | Role::Pair => tree.parts(id).next(),
            Role::Name if tree.kind(id).starts_with("shorthand_property") => Some(id),
            _ => None,
        };
        if name.is_some_and(|name| tree.text(name).trim_matches(['"', '\'']) == "dangerouslySetInnerHTML") {
            found.push(id);
        }
    }
}

fn buffer_of_parameter(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    let uses_safe_buffer = module_text(tree, "safe-buffer");
    for call in tree.calls_in(tree.all()).iter().filter(|call| call.makes && call.name == "Buffer") {
        let size = call.positional(0).map(|size| tree.bare(size));
        let Some(size) = size.filter(|&size| tree.role(size) == Role::Name) else { continue };
        let mut function = tree.node(call.node).function;
        let mut is_parameter = false;
        while function != 0 && !is_parameter {
            let is_named = tree.child(function, Field::Name).is_some();
            let parameters = tree.child(function, Field::Parameters).filter(|_| is_named);
            let is_it = |part| parameter(tree, part) == tree.text(size);
            is_parameter = parameters.is_some_and(|list| tree.parts(list).any(is_it));
            function = tree.node(function).function;
        }
        if is_parameter && !uses_safe_buffer {
            found.push(call.node);
        }
    }
}

/// Whether a module is required or imported.
fn module_text(tree: &Tree<'_>, module: &str) -> bool {
    let is_it = |id: NodeId| tree.literal(id) == Some(module);
    tree.all().any(|id| match tree.role(id) {
        Role::Import => imported(tree, id).is_some_and(is_it),
        Role::Call => tree
            .calls_in(id..id + 1)
            .first()
            .is_some_and(|call| is_bare(call, "require") && call.positional(0).is_some_and(is_it)),
        _ => false,
    })
}

fn built_code(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    for call in tree.calls_in(tree.all()) {
        let is_built = match call.name {
            "Function" if call.receiver.is_none() => {
                call.values().last().is_some_and(|body| is_built_text(tree, body) || was_built(tree, body))
            }
            "setTimeout" | "setInterval" if call.receiver.is_none() && !call.makes => call
                .positional(0)
                .is_some_and(|code| is_built_text(tree, code) && !tree.is_constant_string(code)),
            _ => !call.makes && runs_code(tree, call),
        };
        if is_built {
            found.push(call.node);
        }
    }
}

/// `eval(x)`, `a.eval(x)`, `(0, eval)(x)` and calls of a name that `eval` was given to.
fn runs_code(tree: &Tree<'_>, call: &Call<'_>) -> bool {
    let is_eval = match (call.name, call.receiver) {
        ("eval", _) => true,
        ("", Some(function)) => {
            let inner = tree.bare(function);
            let last = tree.parts(inner).last();
            tree.kind(inner) == "sequence_expression" && last.is_some_and(|last| tree.text(last) == "eval")
        }
        (name, None) => tree.bindings_at(name, call.node).iter().any(|binding| {
            let given = tree.given(binding.node).filter(|_| binding.node < call.node);
            given.is_some_and(|(_, value)| tree.text(value) == "eval")
        }),
        _ => false,
    };
    let only = call.positional(0).filter(|_| call.arguments.len() == 1);
    is_eval && only.is_some_and(|code| !tree.is_constant_string(code))
}

/// `"..." + x + "..."` or a template with a value in it.
fn is_built_text(tree: &Tree<'_>, id: NodeId) -> bool {
    let id = tree.bare(id);
    match tree.role(id) {
        Role::Template => tree.is_interpolated(id),
        Role::Binary => {
            let operands = tree.operands(id, "+");
            let [first, _, last] = operands.as_slice() else { return false };
            tree.is_constant_string(*first) && tree.is_constant_string(*last)
        }
        _ => false,
    }
}

/// Whether a name was given such a text before.
fn was_built(tree: &Tree<'_>, id: NodeId) -> bool {
    tree.role(id) == Role::Name
        && tree.bindings_at(tree.text(id), id).iter().any(|binding| {
            let given = tree.given(binding.node).filter(|_| binding.node < id);
            given.is_some_and(|(_, value)| is_built_text(tree, value))
        })
}

fn unescaped_mustache(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    let names = module_names(tree, &["mustache"]);
    for id in tree.all() {
        let Some((target, function)) = tree.assigned(id) else { continue };
        let object = tree.child(target, Field::Object).map(|object| tree.text(object));
        let member = tree.child(target, Field::Name).map(|name| tree.text(name));
        let is_escape = object.is_some_and(|object| names.whole.contains(object)) && member == Some("escape");
        if is_escape && returns_its_argument(tree, function) {
            found.push(id);
        }
    }
    for call in tree.calls_in(tree.all()).iter().filter(|call| call.name == "render") {
        let is_its = call.receiver.is_some_and(|receiver| names.whole.contains(tree.text(receiver)));
        let template = call.positional(0).filter(|_| is_its).and_then(|template| tree.literal(template));
        if template.is_some_and(is_unescaped) {
            found.push(call.node);
        }
    }
}

/// A template that begins with a value that is not escaped.
fn is_unescaped(template: &str) -> bool {
    let closed = |open: &str, close: &str| {
        template.strip_prefix(open).and_then(|rest| rest.find(close)).is_some_and(|length| length > 0)
    };
    closed("{{{", "}}}") || closed("{{&", "}}")
}

fn returns_its_argument(tree: &Tree<'_>, function: NodeId) -> bool {
    let Some(list) = tree.child(function, Field::Parameters) else { return false };
    let only = if tree.role(list) == Role::Name { Some(list) } else { tree.parts(list).next() };
    let only = only.map(|only| parameter(tree, only));
    let (Some(only), Some(body)) = (only, tree.child(function, Field::Body)) else { return false };
    let value = match tree.role(body) {
        Role::Block => {
            let last = tree.parts(body).last().filter(|&last| tree.role(last) == Role::Return);
            last.and_then(|last| tree.parts(last).next())
        }
        _ => Some(body),
    };
    value.is_some_and(|value| tree.text(value) == only)
}

fn built_pattern(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    for call in
        tree.calls_in(tree.all()).iter().filter(|call| call.receiver.is_none() && call.name == "RegExp")
    {
        let is_constant = call.positional(0).is_some_and(|pattern| {
            tree.role(tree.bare(pattern)) == Role::Regex || tree.is_constant_string(pattern)
        });
        if !is_constant {
            found.push(call.node);
        }
    }
}
