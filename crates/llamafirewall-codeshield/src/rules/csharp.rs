//! Rules for C#: those that look at one place.

use super::{TreeRule, csharp_flow};
use crate::issue::Severity::{Advice, Warning};
use crate::syntax::{Call, Field, NodeId, Role, Tree};

pub(crate) const RULES: &[TreeRule] = &[
    TreeRule {
        id: "command-injection",
        cwe: "CWE-78",
        severity: Warning,
        message: "a process is started from something that is not a constant",
        needles: &["System.Diagnostics"],
        check: started_process,
    },
    TreeRule {
        id: "cookie-without-http-only-flag",
        cwe: "CWE-1004",
        severity: Warning,
        message: "scripts of the page can read this cookie",
        needles: &["HttpCookie"],
        check: |tree, found| set_after(tree, "HttpCookie", ("HttpOnly", "false"), found),
    },
    TreeRule {
        id: "cookie-without-ssl-flag",
        cwe: "CWE-614",
        severity: Warning,
        message: "this cookie also travels without encryption",
        needles: &["HttpCookie"],
        check: |tree, found| set_after(tree, "HttpCookie", ("Secure", "false"), found),
    },
    TreeRule {
        id: "crypto-certificate-validation-disabled",
        cwe: "CWE-295",
        severity: Warning,
        message: "every certificate is accepted",
        needles: &["ServerCertificateValidationCallback"],
        check: any_certificate,
    },
    TreeRule {
        id: "crypto-weak-cipher-algorithm",
        cwe: "CWE-327",
        severity: Warning,
        message: "DES, TripleDES and RC2 are broken or too weak; use AES",
        needles: &["DES", "RC2"],
        check: weak_cipher,
    },
    TreeRule {
        id: "crypto-weak-cipher-mode",
        cwe: "CWE-327",
        severity: Warning,
        message: "this mode does not notice changes of the ciphertext; use an authenticated one",
        needles: &["CipherMode"],
        check: weak_mode,
    },
    TreeRule {
        id: "crypto-weak-hashing-function",
        cwe: "CWE-327",
        severity: Warning,
        message: "MD5 and SHA-1 are broken; use SHA-256 or later",
        needles: &["MD5", "SHA1"],
        check: weak_hash,
    },
    TreeRule {
        id: "crypto-weak-pseudo-random-number-generator",
        cwe: "CWE-338",
        severity: Warning,
        message: "Random can be predicted; use RandomNumberGenerator",
        needles: &["Random"],
        check: |tree, found| {
            let calls = tree.calls_in(tree.all()).iter();
            let is_random =
                |call: &&Call<'_>| call.receiver.and_then(|of| tree.type_of(of)) == Some("Random");
            found.extend(calls.filter(is_random).map(|call| call.node));
        },
    },
    TreeRule {
        id: "csrf",
        cwe: "CWE-352",
        severity: Warning,
        message: "a method that changes something takes forged requests",
        needles: &["HttpPost", "HttpDelete", "HttpPatch", "HttpPut"],
        check: forgeable,
    },
    TreeRule {
        id: "input-validation",
        cwe: "CWE-554",
        severity: Warning,
        message: "validation of the request is switched off",
        needles: &["ValidateInput"],
        check: unvalidated,
    },
    TreeRule {
        id: "insecure-deserialization",
        cwe: "CWE-502",
        severity: Warning,
        message: "this formatter builds any object that the data names",
        needles: &["Deserialize"],
        check: deserialized,
    },
    TreeRule {
        id: "ldap-injection",
        cwe: "CWE-90",
        severity: Warning,
        message: "an LDAP query is not a constant; escape what goes into it",
        needles: &["DirectorySearcher"],
        check: |tree, found| {
            for id in tree.all() {
                let Some((typed, member, value)) = member_set(tree, id) else { continue };
                let is_query = typed == Some("DirectorySearcher") && matches!(member, "Filter" | "Path");
                if is_query && !tree.is_constant_string(value) {
                    found.push(id);
                }
            }
        },
    },
    TreeRule {
        id: "path-traversal",
        cwe: "CWE-22",
        severity: Warning,
        message: "a parameter of the request names a file; check that it stays in its folder",
        needles: &["Controller"],
        check: csharp_flow::path_traversal,
    },
    TreeRule {
        id: "sql-injection",
        cwe: "CWE-89",
        severity: Warning,
        message: "a query is not a constant; pass values as parameters",
        needles: &[
            "Command",
            "Sql(",
            "SqlQuery",
            "SqlRaw",
            "SQLQuery",
            "SqlStringCommand",
            "ExecuteDataSet(",
            "ExecuteReader(",
            "ExecuteNonQuery(",
            "ExecuteScalar(",
            "MySqlHelper",
            "DataContext",
            "Cassandra",
        ],
        check: built_query,
    },
    TreeRule {
        id: "unsafe-xslt-setting",
        cwe: "CWE-611",
        severity: Warning,
        message: "style sheets may run scripts",
        needles: &["XsltSettings"],
        check: scripted_xslt,
    },
    TreeRule {
        id: "unvalidated-redirect",
        cwe: "CWE-601",
        severity: Warning,
        message: "a parameter decides where the browser goes next; check that it is local",
        needles: &["Redirect(", "RedirectPermanent(", "RedirectToRoute", "RedirectResult("],
        check: csharp_flow::unvalidated_redirect,
    },
    TreeRule {
        id: "weak-password-requirements",
        cwe: "CWE-521",
        severity: Warning,
        message: "passwords may be short and simple",
        needles: &["PasswordValidator"],
        check: weak_passwords,
    },
    TreeRule {
        id: "xpath-injection",
        cwe: "CWE-643",
        severity: Advice,
        message: "an XPath expression is not a constant",
        needles: &["System.Xml"],
        check: built_xpath,
    },
    TreeRule {
        id: "xss",
        cwe: "CWE-79",
        severity: Warning,
        message: "a parameter of the request comes back in the page; encode it",
        needles: &["HttpGet", "HttpPost", "HttpDelete", "HttpPatch", "HttpPut", "HttpHead", "HttpOptions"],
        check: csharp_flow::cross_site_scripting,
    },
    TreeRule {
        id: "xxe-injection",
        cwe: "CWE-611",
        severity: Warning,
        message: "an XML parser resolves external entities; prohibit DTDs",
        needles: &["XmlReader", "XmlDocument"],
        check: csharp_flow::external_entities,
    },
];

/// The type of the object, the member and the value of `object.Member = value`.
pub(super) fn member_set<'t>(tree: &Tree<'t>, id: NodeId) -> Option<(Option<&'t str>, &'t str, NodeId)> {
    let (target, value) = tree.assigned(id)?;
    let (object, member) = (tree.child(target, Field::Object)?, tree.child(target, Field::Name)?);
    Some((tree.type_of(object), tree.text(member), value))
}

/// Settings of `new T { A = 1, B = 2 }`: name and value.
pub(super) fn settings<'t>(tree: &Tree<'t>, made: NodeId) -> Vec<(&'t str, NodeId)> {
    let Some(list) = tree.child(made, Field::Initializer) else { return Vec::new() };
    let set = tree.parts(list).filter_map(|part| tree.assigned(part));
    set.map(|(name, value)| (tree.text(name), value)).collect()
}

/// The call that makes a `type_name`, if `id` is one.
pub(super) fn makes<'a, 't>(tree: &'a Tree<'t>, id: NodeId, type_name: &str) -> Option<&'a Call<'t>> {
    tree.calls_in(id..id + 1).first().filter(|call| call.makes && call.name == type_name)
}

fn is_constant(tree: &Tree<'_>, call: &Call<'_>, place: usize) -> bool {
    call.positional(place).is_some_and(|value| tree.is_constant_string(value))
}

fn started_process(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    if !tree.imports_below("System.Diagnostics") {
        return;
    }
    let starts = |call: &Call<'_>| {
        call.name == "Start"
            && call.receiver.is_some_and(|of| tree.text(of) == "Process")
            && call.arguments.len() == 1
    };
    let calls = tree.calls_in(tree.all()).iter();
    found.extend(calls.filter(|call| starts(call) && !is_constant(tree, call, 0)).map(|call| call.node));
    for id in tree.all() {
        let Some((target, _)) = tree.assigned(id) else { continue };
        let Some(object) = tree.child(target, Field::Object) else { continue };
        let is_setting = tree
            .child(target, Field::Name)
            .is_some_and(|name| matches!(tree.text(name), "FileName" | "Arguments"));
        let process = tree
            .child(object, Field::Object)
            .filter(|_| tree.child(object, Field::Name).is_some_and(|name| tree.text(name) == "StartInfo"));
        if is_setting && process.and_then(|process| tree.type_of(process)) == Some("Process") {
            found.push(id);
        }
    }
}

/// `name = new Type(...)` followed by `name.Member = value`.
fn set_after(tree: &Tree<'_>, type_name: &str, (member, wanted): (&str, &str), found: &mut Vec<NodeId>) {
    for id in tree.all() {
        let Some((name, value)) = tree.given(id) else { continue };
        if makes(tree, value, type_name).is_none() {
            continue;
        }
        let target = format!("{}.{member}", tree.text(name));
        found.extend(tree.after(id).filter(|&later| {
            tree.assigned(later).is_some_and(|(to, value)| {
                tree.path(to).as_deref() == Some(&target) && tree.text(tree.bare(value)) == wanted
            })
        }));
    }
}

fn any_certificate(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    for id in tree.all().filter(|&id| tree.role(id) == Role::Assign) {
        let (Some(target), Some(callback)) = (tree.child(id, Field::Left), tree.child(id, Field::Right))
        else {
            continue;
        };
        let path = tree.path(target).unwrap_or_default();
        let is_it = path.ends_with("ServicePointManager.ServerCertificateValidationCallback");
        if is_it && tree.role(callback) == Role::Lambda && always_true(tree, callback) {
            found.push(id);
        }
    }
}

/// Whether a lambda or an anonymous method does nothing but say true.
fn always_true(tree: &Tree<'_>, lambda: NodeId) -> bool {
    let Some(body) = tree.child(lambda, Field::Body).or_else(|| tree.parts(lambda).last()) else {
        return false;
    };
    if tree.role(body) != Role::Block {
        return tree.text(body) == "true";
    }
    let mut statements = tree.parts(body);
    let first = statements.next().filter(|&first| tree.role(first) == Role::Return);
    let value = first.and_then(|first| tree.parts(first).next());
    value.is_some_and(|value| tree.text(value) == "true") && statements.next().is_none()
}

fn weak_cipher(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    if !tree.imports_below("System.Security.Cryptography") {
        return;
    }
    for call in tree.calls_in(tree.all()).iter().filter(|call| call.arguments.is_empty()) {
        let is_weak = if call.makes {
            matches!(
                call.name,
                "DESCryptoServiceProvider" | "TripleDESCryptoServiceProvider" | "RC2CryptoServiceProvider"
            )
        } else {
            let of = call.receiver.map_or("", |of| tree.text(of));
            let ends = tree.text[tree.node(call.node).end as usize..].starts_with(';');
            call.name == "Create" && ends && (of.ends_with("DES") || of.ends_with("RC2"))
        };
        if is_weak {
            found.push(call.node);
        }
    }
}

fn weak_mode(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    if !tree.imports_below("System.Security.Cryptography") {
        return;
    }
    for id in tree.all().filter(|&id| tree.role(id) == Role::Member) {
        let mode = tree.text(id).strip_prefix("CipherMode.");
        if mode.is_some_and(|mode| matches!(mode, "ECB" | "CBC" | "OFB" | "CFB" | "CTS")) {
            found.push(id);
        }
    }
}

fn weak_hash(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    for call in tree.calls_in(tree.all()) {
        let is_provider = matches!(call.name, "SHA1CryptoServiceProvider" | "MD5CryptoServiceProvider");
        let of = call.receiver.map_or("", |of| tree.text(of));
        let is_class = matches!(of, "System.Security.Cryptography.SHA1" | "System.Security.Cryptography.MD5");
        if call.makes && is_provider || is_class && call.arguments.is_empty() {
            found.push(call.node);
        }
    }
}

/// A method with its annotations, as far as rules ask.
pub(super) struct Method<'t> {
    pub node: NodeId,
    pub is_public: bool,
    pub returns: &'t str,
    /// Names of annotations without arguments.
    pub annotations: Vec<&'t str>,
    /// All annotations.
    pub attributes: Vec<NodeId>,
    /// What the class around it extends.
    pub bases: Vec<&'t str>,
}

pub(super) fn methods<'t>(tree: &Tree<'t>) -> Vec<Method<'t>> {
    let is_method = |id: &NodeId| {
        matches!(tree.kind(*id), "method_declaration" | "local_function_statement")
            && tree.child(*id, Field::Body).is_some()
    };
    tree.all().filter(is_method).map(|id| read_method(tree, id)).collect()
}

fn read_method<'t>(tree: &Tree<'t>, id: NodeId) -> Method<'t> {
    let mut method = Method {
        node: id,
        is_public: false,
        returns: tree.child(id, Field::Type).map_or("", |returns| tree.text(returns)),
        annotations: Vec::new(),
        attributes: Vec::new(),
        bases: Vec::new(),
    };
    for part in tree.children(id) {
        match tree.kind(part) {
            "modifier" => method.is_public |= tree.text(part) == "public",
            "attribute_list" => {
                for annotation in tree.parts(part).filter(|&inner| tree.role(inner) == Role::Attribute) {
                    method.attributes.push(annotation);
                    let name = tree.child(annotation, Field::Name).map_or("", |name| tree.text(name));
                    if name == tree.text(annotation) {
                        method.annotations.push(name);
                    }
                }
            }
            _ => {}
        }
    }
    let list = tree.node(id).parent;
    for part in tree.children(tree.node(list).parent).filter(|&part| tree.kind(part) == "base_list") {
        method.bases.extend(tree.parts(part).map(|base| tree.text(base)));
    }
    method
}

fn forgeable(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    const CHANGES: [&str; 4] = ["HttpPost", "HttpDelete", "HttpPatch", "HttpPut"];
    for method in methods(tree).iter().filter(|method| method.is_public) {
        let changes = method.annotations.iter().any(|name| CHANGES.iter().any(|verb| name.starts_with(verb)));
        if changes && !method.annotations.contains(&"ValidateAntiForgeryToken") {
            found.push(method.node);
        }
    }
}

fn only_part(tree: &Tree<'_>, id: NodeId) -> Option<NodeId> {
    let mut parts = tree.parts(id);
    parts.next().filter(|_| parts.next().is_none())
}

fn unvalidated(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    // `ValidateInput(false)`, however it is laid out.
    let is_off = |attribute: NodeId| {
        let list = tree.parts(attribute).find(|&part| tree.kind(part) == "attribute_argument_list");
        let only = list.and_then(|list| only_part(tree, list)).and_then(|argument| only_part(tree, argument));
        tree.child(attribute, Field::Name).is_some_and(|name| tree.text(name) == "ValidateInput")
            && only.is_some_and(|value| tree.text(tree.bare(value)) == "false")
    };
    let found_in = |method: &&Method<'_>| method.is_public && method.attributes.iter().copied().any(is_off);
    found.extend(methods(tree).iter().filter(found_in).map(|method| method.node));
}

fn deserialized(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    const BINARY: &str = "System.Runtime.Serialization.Formatters.Binary.BinaryFormatter";
    const OTHERS: [&str; 6] = [
        "System.Runtime.Serialization.Formatters.Soap.SoapFormatter",
        "System.Runtime.Serialization.NetDataContractSerializer",
        "System.Web.UI.LosFormatter",
        "System.Web.UI.ObjectStateFormatter",
        "MongoDB.Bson.Serialization.BsonSerializer",
        "System.Web.Script.Serialization.JavaScriptSerializer",
    ];
    for call in tree.calls_in(tree.all()).iter().filter(|call| call.name.contains("Deserialize")) {
        let Some(of) = call.receiver.and_then(|of| tree.type_of(of)) else { continue };
        let is_binary = matches!(call.name, "Deserialize" | "UnsafeDeserialize" | "UnsafeDeserializeMethod")
            && tree.names_type(of, BINARY);
        if is_binary || call.name == "Deserialize" && OTHERS.iter().any(|full| tree.names_type(of, full)) {
            found.push(call.node);
        }
    }
}

const QUERIES: [&str; 13] = [
    "SqlQuery",
    "ExecuteSqlCommand",
    "ExecuteSqlCommandAsync",
    "ExecuteSqlRaw",
    "ExecuteSqlRawAsync",
    "FromSqlRaw",
    "FromSql",
    "GetSqlStringCommand",
    "ExecuteDataSet",
    "ExecuteReader",
    "ExecuteNonQuery",
    "ExecuteScalar",
    "CreateSQLQuery",
];
const COMMANDS: [&str; 8] = [
    "SqlCommand",
    "OracleCommand",
    "NpgsqlCommand",
    "MySqlCommand",
    "EntityCommand",
    "OdbcCommand",
    "OleDbCommand",
    "SqliteCommand",
];
const MYSQL: [&str; 7] = [
    "ExecuteDataRow",
    "ExecuteDataset",
    "ExecuteNonQuery",
    "ExecuteReader",
    "ExecuteScalar",
    "UpdateDataSet",
    "UpdateDataset",
];

fn built_query(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    for call in tree.calls_in(tree.all()).iter().filter(|call| !call.arguments.is_empty()) {
        let of = call.receiver.map(|of| (tree.text(of), tree.type_of(of)));
        let is_query = match of {
            None => call.makes && COMMANDS.contains(&call.name) && !is_constant(tree, call, 0),
            Some(_) if QUERIES.contains(&call.name) && !is_constant(tree, call, 0) => true,
            Some(("MySqlHelper", _)) => {
                let name = call.name.strip_suffix("Async").unwrap_or(call.name);
                let is_mysql = MYSQL.contains(&name) && tree.imports_below("MySql.Data.MySqlClient");
                is_mysql && is_constant(tree, call, 0) && call.arguments.len() > 1
            }
            Some((_, Some("DataContext"))) => {
                matches!(call.name, "ExecuteQuery" | "ExecuteCommand")
                    && tree.imports_below("System.Data.Linq")
            }
            Some((_, Some("Session"))) => {
                call.name == "Execute" && tree.imports_below("Cassandra") && !is_constant(tree, call, 0)
            }
            Some(_) => false,
        };
        if is_query {
            found.push(call.node);
        }
    }
    for id in tree.all() {
        let Some((typed, member, value)) = member_set(tree, id) else { continue };
        let is_command = typed.is_some_and(|name| COMMANDS.contains(&name));
        if is_command && member == "CommandText" && !tree.is_constant_string(value) {
            found.push(id);
        }
    }
}

fn scripted_xslt(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    for call in tree.calls_in(tree.all()).iter().filter(|call| call.makes && call.name == "XsltSettings") {
        if let [("EnableScript", value)] = settings(tree, call.node).as_slice()
            && tree.text(*value) == "true"
        {
            found.push(call.node);
        }
    }
    set_after(tree, "XsltSettings", ("EnableScript", "true"), found);
}

fn weak_passwords(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    const KINDS: [&str; 4] =
        ["RequireNonLetterOrDigit", "RequireDigit", "RequireLowercase", "RequireUppercase"];
    for call in tree.calls_in(tree.all()).iter().filter(|call| call.makes && call.name == "PasswordValidator")
    {
        let set = settings(tree, call.node);
        let length =
            set.iter().find(|(name, _)| *name == "RequiredLength").map(|(_, value)| tree.text(*value));
        let is_short = length.and_then(|length| length.parse::<u32>().ok()).is_some_and(|length| length < 8);
        let asks = set.iter().any(|(name, value)| KINDS.contains(name) && tree.text(*value) == "true");
        if is_short && !asks {
            found.push(call.node);
        }
    }
}

fn built_xpath(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    const TYPES: [&str; 4] = ["XPathNavigator", "XmlDocument", "XmlNode", "XmlDocumentXPathExtensions"];
    const METHODS: [&str; 9] = [
        "SelectNodes",
        "SelectSingleNode",
        "Compile",
        "Evaluate",
        "Matches",
        "Select",
        "SelectAncestors",
        "SelectChildren",
        "SelectDescendants",
    ];
    const LINQ: [&str; 3] = ["XPathEvaluate", "XPathSelectElement", "XPathSelectElements"];
    if !tree.imports_below("System.Xml") {
        return;
    }
    for call in tree.calls_in(tree.all()).iter().filter(|call| !call.arguments.is_empty()) {
        let Some(of) = call.receiver.filter(|_| !is_constant(tree, call, 0)) else { continue };
        let is_typed =
            METHODS.contains(&call.name) && tree.type_of(of).is_some_and(|name| TYPES.contains(&name));
        if is_typed || LINQ.contains(&call.name) && tree.imports_below("System.Xml.Linq") {
            found.push(call.node);
        }
    }
    if !tree.imports_below("System.Xml.Schema") {
        return;
    }
    for id in tree.all() {
        if member_set(tree, id)
            .is_some_and(|(_, member, value)| member == "XPath" && !tree.is_constant_string(value))
        {
            found.push(id);
        }
        if let Some(made) = makes(tree, id, "XmlSchemaXPath") {
            found.extend(
                settings(tree, made.node)
                    .iter()
                    .filter(|(name, _)| *name == "XPath")
                    .map(|(_, value)| *value),
            );
        }
    }
}
