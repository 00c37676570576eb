//! Rules for C and C++.

use super::TreeRule;
use crate::issue::Severity::Warning;
use crate::syntax::{Call, Field, NodeId, Role, Tree};

pub(crate) const RULES: &[TreeRule] = &[
    TreeRule {
        id: "bugprone-snprintf",
        cwe: "CWE-119",
        severity: Warning,
        message: "snprintf returns the length that was wanted, not written; using it as an index can leave the buffer",
        needles: &["snprintf"],
        check: wanted_length_as_index,
    },
    TreeRule {
        id: "crypto-weak-prng",
        cwe: "CWE-338",
        severity: Warning,
        message: "rand() can be predicted; take random bytes from the system",
        needles: &["rand("],
        check: |tree, found| calls_of(tree, &["rand"], found),
    },
    TreeRule {
        id: "rsa-key-size-insufficient",
        cwe: "CWE-331",
        severity: Warning,
        message: "an RSA key this short can be factored; take 2048 bits or more",
        needles: &["RSA_gen"],
        check: short_rsa_key,
    },
    TreeRule {
        id: "potential-integer-overflow-to-buffer-overflow",
        cwe: "CWE-680",
        severity: Warning,
        message: "the product given to malloc can overflow and leave a buffer that is too small; use calloc",
        needles: &["malloc("],
        check: unchecked_product,
    },
    TreeRule {
        id: "invalid-free",
        cwe: "CWE-590",
        severity: Warning,
        message: "memory of the stack is freed",
        needles: &["free("],
        check: free_of_stack,
    },
    TreeRule {
        id: "md2-or-md4-hash-usage",
        cwe: "CWE-328",
        severity: Warning,
        message: "MD2 and MD4 are broken; use SHA-256 or later",
        needles: &["MD2_Init", "EVP_md2", "MD4_Init", "EVP_md4"],
        check: |tree, found| calls_of(tree, &["MD2_Init", "EVP_md2", "MD4_Init", "EVP_md4"], found),
    },
    TreeRule {
        id: "md5-usage",
        cwe: "CWE-328",
        severity: Warning,
        message: "MD5 is broken; use SHA-256 or later",
        needles: &["MD5_Init", "EVP_md5"],
        check: |tree, found| calls_of(tree, &["MD5_Init", "EVP_md5"], found),
    },
    TreeRule {
        id: "potential-command-injection",
        cwe: "CWE-78",
        severity: Warning,
        message: "a command that is not a constant goes to a shell; use execve with a list of arguments",
        needles: &["system("],
        check: built_command,
    },
    TreeRule {
        id: "sha1-usage",
        cwe: "CWE-328",
        severity: Warning,
        message: "SHA-1 is broken; use SHA-256 or later",
        needles: &["SHA1_Init", "EVP_sha1", "EVP_md5_sha1"],
        check: |tree, found| calls_of(tree, &["SHA1_Init", "EVP_sha1", "EVP_md5_sha1"], found),
    },
    TreeRule {
        id: "vulnerable-sprintf",
        cwe: "CWE-120",
        severity: Warning,
        message: "sprintf with %s writes as much as the string is long; use snprintf",
        needles: &["sprintf("],
        check: unbounded_sprintf,
    },
    TreeRule {
        id: "vulnerable-strcpy",
        cwe: "CWE-120",
        severity: Warning,
        message: "strcpy writes as much as the string is long; use a function that is told the size",
        needles: &["strcpy("],
        check: |tree, found| calls_of(tree, &["strcpy"], found),
    },
    TreeRule {
        id: "write-to-stack-buffer",
        cwe: "CWE-121",
        severity: Warning,
        message: "a copy into a buffer on the stack has a length that nothing checks",
        needles: &["memcpy(", "memmove("],
        check: unchecked_copy,
    },
];

fn calls_of(tree: &Tree<'_>, names: &[&str], found: &mut Vec<NodeId>) {
    let calls = tree.calls_in(tree.all()).iter();
    found.extend(calls.filter(|call| is_plain(call, names)).map(|call| call.node));
}

fn is_plain(call: &Call<'_>, names: &[&str]) -> bool {
    call.receiver.is_none() && names.contains(&call.name)
}

/// The call that an expression is, casts aside.
fn call_at<'a, 't>(tree: &'a Tree<'t>, id: NodeId) -> Option<&'a Call<'t>> {
    let mut id = tree.bare(id);
    while tree.role(id) == Role::Cast {
        id = tree.bare(tree.child(id, Field::Value)?);
    }
    tree.calls_in(id..id + 1).first()
}

/// `if (name < ...)` and `if (name > ...)`, by the sign.
fn compares(tree: &Tree<'_>, id: NodeId, name: &str, signs: &[&str]) -> bool {
    if tree.role(id) != Role::If {
        return false;
    }
    let Some(condition) = tree.child(id, Field::Condition).map(|condition| tree.bare(condition)) else {
        return false;
    };
    let left = tree.child(condition, Field::Left);
    tree.role(condition) == Role::Binary
        && signs.contains(&tree.operator(condition))
        && left.is_some_and(|left| tree.text(left) == name)
}

fn wanted_length_as_index(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    for id in tree.all().filter(|&id| matches!(tree.role(id), Role::Assign | Role::Declarator)) {
        let Some((length, value)) = tree.given(id) else { continue };
        let Some(call) = call_at(tree, value).filter(|call| call.name.contains("snprintf")) else { continue };
        let Some(buffer) = call.positional(0).map(|buffer| tree.text(buffer)) else { continue };
        let length = tree.text(length);
        let guards: Vec<NodeId> = tree.after(id).filter(|&at| compares(tree, at, length, &["<"])).collect();
        let uses = tree.after(id).filter(|&at| indexes(tree, at, buffer, length));
        found.extend(uses.filter(|&at| !guards.iter().any(|&guard| tree.contains(guard, at))));
    }
}

/// `buffer[length] = x`, `*(buffer + length) = x` and `f(buffer + length)`.
fn indexes(tree: &Tree<'_>, id: NodeId, buffer: &str, length: &str) -> bool {
    let is_end = |sum: NodeId| {
        let sum = tree.bare(sum);
        let side = |field| tree.child(sum, field).map(|part| tree.text(part));
        tree.role(sum) == Role::Binary
            && tree.operator(sum) == "+"
            && side(Field::Left) == Some(buffer)
            && side(Field::Right) == Some(length)
    };
    match tree.role(id) {
        Role::Call => {
            tree.calls_in(id..id + 1).first().and_then(|call| call.positional(0)).is_some_and(is_end)
        }
        Role::Assign => {
            let Some((target, _)) = tree.assigned(id) else { return false };
            let mut parts = tree.parts(target);
            match tree.role(target) {
                Role::Pointer => parts.next().is_some_and(is_end),
                Role::Subscript => {
                    let array = parts.next().map(|array| tree.text(array));
                    let index = parts.next().map(|index| tree.text(index).trim_matches(['[', ']']).trim());
                    array == Some(buffer) && index == Some(length)
                }
                _ => false,
            }
        }
        _ => false,
    }
}

fn short_rsa_key(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    for call in tree.calls_in(tree.all()).iter().filter(|call| call.receiver.is_none()) {
        let size = match call.name {
            "EVP_RSA_gen" if call.arguments.len() == 1 => call.positional(0),
            name if name.starts_with("RSA_generate_key") && call.arguments.len() == 4 => call.positional(1),
            _ => None,
        };
        if size.is_some_and(|size| is_short(tree, size)) {
            found.push(call.node);
        }
    }
}

/// A number of bits below 2048 that has been in use, also through a name.
fn is_short(tree: &Tree<'_>, size: NodeId) -> bool {
    let written = |id: NodeId| {
        let number = tree.text(id).trim_end_matches(['u', 'U', 'l', 'L']);
        matches!(number, "512" | "768" | "1024" | "1536")
    };
    if tree.role(size) != Role::Name {
        return written(size);
    }
    let bindings = tree.bindings_at(tree.text(size), size);
    let last = bindings.iter().rev().find(|binding| binding.node < size);
    last.and_then(|binding| tree.given(binding.node)).is_some_and(|(_, value)| written(value))
}

/// Names of constants are written in capitals.
fn is_constant_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
}

fn unchecked_product(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    for call in tree.calls_in(tree.all()).iter().filter(|call| is_plain(call, &["malloc"])) {
        let Some(product) = call.positional(0).map(|size| tree.bare(size)) else { continue };
        let Some(factor) = tree.child(product, Field::Left).map(|factor| tree.text(factor)) else { continue };
        let is_product = tree.role(product) == Role::Binary && tree.operator(product) == "*";
        if !is_product || call.arguments.len() != 1 || is_constant_name(factor) {
            continue;
        }
        let function = tree.node(call.node).function;
        let is_checked = tree.within(function).take_while(|&id| id < call.node).any(|id| {
            let block = tree.block(id);
            compares(tree, id, factor, &["<", ">"]) && tree.contains(block, call.node)
        });
        if !is_checked {
            found.push(call.node);
        }
    }
}

/// A variable declared without a value.
struct Plain<'t> {
    declaration: NodeId,
    name: &'t str,
    is_array: bool,
}

fn plain_variables<'t>(tree: &Tree<'t>) -> Vec<Plain<'t>> {
    let mut variables = Vec::new();
    for declaration in tree.all().filter(|&id| tree.role(id) == Role::Declaration) {
        for declarator in
            tree.children(declaration).filter(|&child| tree.node(child).field == Field::Declarator)
        {
            variables.extend(plain_variable(tree, declaration, declarator));
        }
    }
    variables
}

fn plain_variable<'t>(tree: &Tree<'t>, declaration: NodeId, mut declarator: NodeId) -> Option<Plain<'t>> {
    let mut is_array = false;
    loop {
        match tree.kind(declarator) {
            "array_declarator" => is_array = true,
            "pointer_declarator" => {}
            _ if tree.role(declarator) == Role::Name => {
                return Some(Plain { declaration, name: tree.text(declarator), is_array });
            }
            _ => return None,
        }
        declarator = tree.child(declarator, Field::Declarator)?;
    }
}

fn free_of_stack(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    let locals =
        plain_variables(tree).into_iter().filter(|variable| tree.node(variable.declaration).function != 0);
    for Plain { declaration, name, is_array } in locals {
        for call in tree.calls_in(tree.after(declaration)).iter().filter(|call| is_plain(call, &["free"])) {
            let Some(freed) = call.positional(0) else { continue };
            let is_it = match is_array {
                true => tree.text(freed) == name,
                false => {
                    tree.role(freed) == Role::Pointer
                        && tree.operator(freed) == "&"
                        && tree.parts(freed).next().is_some_and(|of| tree.text(of) == name)
                }
            };
            let returns_before = || {
                let between = tree.after(declaration).take_while(|&id| id < call.node);
                between.clone().any(|id| tree.role(id) == Role::Return && tree.parts(id).next().is_some())
            };
            if is_it && !returns_before() {
                found.push(call.node);
            }
        }
    }
}

fn built_command(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    for call in tree.calls_in(tree.all()).iter().filter(|call| is_plain(call, &["system"])) {
        let [command] = call.arguments.as_slice() else { continue };
        if !tree.is_constant_string(command.value) && !is_constant_name(tree.text(command.value)) {
            found.push(call.node);
        }
    }
}

fn unbounded_sprintf(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    let calls = tree.calls_in(tree.all()).iter().filter(|call| is_plain(call, &["sprintf"]));
    let has_string = |call: &&Call<'_>| call.values().any(|value| tree.text(value).contains("%s"));
    found.extend(calls.filter(has_string).map(|call| call.node));
}

fn unchecked_copy(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    for Plain { declaration, name, .. } in
        plain_variables(tree).into_iter().filter(|variable| variable.is_array)
    {
        for call in tree.calls_in(tree.after(declaration)) {
            let is_copy = is_plain(call, &["memcpy", "memmove"]) && call.arguments.len() >= 2;
            let is_into = call.positional(0).is_some_and(|to| tree.text(to) == name);
            let is_constant = call.positional(1).is_some_and(|from| tree.is_constant_string(from));
            let Some(length) = call.values().last().filter(|_| is_copy && is_into && !is_constant) else {
                continue;
            };
            let mut before = tree.after(declaration).take_while(|&id| id < call.node);
            if !before.any(|id| compares(tree, id, tree.text(length), &["<"])) {
                found.push(call.node);
            }
        }
    }
}
