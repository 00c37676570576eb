//! Rules for Java.

use super::TreeRule;
use crate::issue::Severity::{Error, Warning};
use crate::syntax::{Call, Flow, NodeId, Role, Tree};

pub(crate) const RULES: &[TreeRule] = &[
    TreeRule {
        id: "deserialization_insecure_untrusted_data",
        cwe: "CWE-502",
        severity: Warning,
        message: "ObjectInputStream builds any object that the data names; filter its classes or use plain data",
        needles: &["ObjectInputStream("],
        check: |tree, found| {
            let calls = tree.calls_in(tree.all()).iter();
            found.extend(
                calls.filter(|call| call.makes && call.name == "ObjectInputStream").map(|call| call.node),
            );
        },
    },
    TreeRule {
        id: "cors-servlet-header-injection",
        cwe: "CWE-942",
        severity: Error,
        message: "a value of the request decides which origins may read the response",
        needles: &["Header("],
        check: origin_from_request,
    },
    TreeRule {
        id: "csrf-spring-config-disabled",
        cwe: "CWE-352",
        severity: Warning,
        message: "protection against forged requests is switched off",
        needles: &["disable("],
        check: csrf_disabled,
    },
    TreeRule {
        id: "ldap-insecure_config_auth",
        cwe: "CWE-306",
        severity: Warning,
        message: "the LDAP server is asked without authentication",
        needles: &["SECURITY_AUTHENTICATION"],
        check: anonymous_ldap,
    },
    TreeRule {
        id: "ssrf_insecure_patterns",
        cwe: "CWE-918",
        severity: Error,
        message: "a connection goes to an address that is not a constant; check it against a list",
        needles: &["java.net"],
        check: open_connection,
    },
    TreeRule {
        id: "xpath_injection_variable_resolver",
        cwe: "CWE-643",
        severity: Error,
        message: "an XPath expression is not a constant; pass values through a variable resolver",
        needles: &["javax.xml.xpath"],
        check: built_xpath,
    },
    TreeRule {
        id: "xss-insecure-send-error-response",
        cwe: "CWE-79",
        severity: Warning,
        message: "a value of the request comes back in an error page; escape it",
        needles: &["sendError("],
        check: error_with_input,
    },
    TreeRule {
        id: "xss-insecure-servlet-response",
        cwe: "CWE-79",
        severity: Warning,
        message: "a parameter of the request comes back in the response; escape it",
        needles: &["getWriter("],
        check: response_with_input,
    },
    TreeRule {
        id: "xxe-insecure-sax-parser",
        cwe: "CWE-611",
        severity: Error,
        message: "an XML parser resolves external entities; switch on secure processing",
        needles: &["newSAXParser"],
        check: open_sax_parser,
    },
    TreeRule {
        id: "xxe-insecure-xml-input-factory",
        cwe: "CWE-611",
        severity: Error,
        message: "an XML reader resolves external entities; switch DTDs off",
        needles: &["createXMLStreamReader"],
        check: open_stream_reader,
    },
    TreeRule {
        id: "xxe-deprecated-xml-reader",
        cwe: "CWE-611",
        severity: Error,
        message: "XMLReaderFactory is deprecated and its readers resolve external entities",
        needles: &["createXMLReader"],
        check: open_xml_reader,
    },
];

const SECURITY: &str = "org.springframework.security.config.annotation.web";

fn has_import(tree: &Tree<'_>, names: &[&str]) -> bool {
    tree.imports.iter().any(|(import, _)| names.contains(&import.as_str()))
}

fn receiver_text<'t>(tree: &Tree<'t>, call: &Call<'_>) -> &'t str {
    call.receiver.map_or("", |receiver| tree.text(receiver))
}

/// Calls in a chain, outermost first: of `a.b().c()` the calls `c` and `b`; and what the chain starts with.
fn chain<'a, 't>(tree: &'a Tree<'t>, call: &'a Call<'t>) -> (Vec<&'a Call<'t>>, Option<NodeId>) {
    let mut calls = vec![call];
    let mut at = call.receiver.map(|receiver| tree.bare(receiver));
    while let Some(next) = at.and_then(|id| tree.calls_in(id..id + 1).first()).filter(|next| !next.makes) {
        calls.push(next);
        at = next.receiver.map(|receiver| tree.bare(receiver));
    }
    (calls, at)
}

fn csrf_disabled(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    let builder = format!("{SECURITY}.builders.HttpSecurity");
    let configurer = format!("{SECURITY}.configurers.CsrfConfigurer");
    for call in
        tree.calls_in(tree.all()).iter().filter(|call| call.name == "disable" && call.arguments.is_empty())
    {
        let (calls, start) = chain(tree, call);
        let written = start.and_then(|start| tree.type_of(start)).unwrap_or_default();
        let is_builder = calls.get(1).is_some_and(|inner| inner.name == "csrf" && inner.arguments.is_empty())
            && tree.names_type(written, &builder);
        let is_configurer = calls.len() == 1
            && written.strip_suffix("<HttpSecurity>").is_some_and(|name| tree.names_type(name, &configurer));
        if is_builder || is_configurer {
            found.push(call.node);
        }
    }
}

fn anonymous_ldap(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    if !has_import(tree, &["javax.naming.Context"]) {
        return;
    }
    for call in tree.calls_in(tree.all()).iter().filter(|call| call.name == "put") {
        let [key, value] = call.arguments.as_slice() else { continue };
        let is_key = tree.path(key.value).is_some_and(|key| key == "Context.SECURITY_AUTHENTICATION");
        if is_key && tree.string(value.value).is_some_and(|mode| mode == "none") {
            found.push(call.node);
        }
    }
}

fn open_connection(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    const OPENERS: [&str; 5] = ["connect", "GetContent", "openConnection", "openStream", "getContent"];
    const ADDRESSES: [&str; 4] = ["URL", "java.net.URL", "URI", "java.net.URI"];
    let is_first_constant =
        |call: &Call<'_>| call.positional(0).is_some_and(|address| tree.is_constant_string(address));
    if has_import(tree, &["java.net.*", "java.net.URL", "java.net.URI"]) {
        for call in tree.calls_in(tree.all()).iter().filter(|call| OPENERS.contains(&call.name)) {
            let (_, start) = chain(tree, call);
            let made = start.and_then(|start| tree.calls_in(start..start + 1).first());
            let Some(made) = made.filter(|made| made.makes && ADDRESSES.contains(&made.name)) else {
                continue;
            };
            if !(is_first_constant(made) && made.arguments.len() == 1) {
                found.push(call.node);
            }
        }
    }
    if has_import(tree, &["java.net.*", "java.net.InetSocketAddress"]) {
        for call in
            tree.calls_in(tree.all()).iter().filter(|call| call.makes && call.name == "InetSocketAddress")
        {
            let is_constant = call.arguments.len() == 2 && is_first_constant(call);
            if !call.arguments.is_empty() && !is_constant {
                found.push(call.node);
            }
        }
    }
}

fn built_xpath(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    if !has_import(tree, &["javax.xml.xpath.*", "javax.xml.xpath.XPath"]) {
        return;
    }
    for call in tree.calls_in(tree.all()).iter().filter(|call| matches!(call.name, "compile" | "evaluate")) {
        let [expression] = call.arguments.as_slice() else { continue };
        let is_path = call.receiver.and_then(|receiver| tree.type_of(receiver)) == Some("XPath");
        if is_path && !tree.is_constant_string(expression.value) {
            found.push(call.node);
        }
    }
}

/// Whether `id` is a call of one of `methods` on something of the type `type_name`.
fn is_method_of(tree: &Tree<'_>, id: NodeId, type_name: &str, methods: &[&str]) -> bool {
    tree.calls_in(id..id + 1).first().is_some_and(|call| {
        methods.contains(&call.name)
            && call.receiver.and_then(|receiver| tree.type_of(receiver)) == Some(type_name)
    })
}

/// Escaping for HTML, by the names that the usual libraries give it.
fn is_escaped(tree: &Tree<'_>, id: NodeId) -> bool {
    const ESCAPES: [&str; 5] = ["forHtml", "forHtmlContent", "escapeHtml4", "escapeHtml", "htmlEscape"];
    tree.calls_in(id..id + 1).first().is_some_and(|call| ESCAPES.contains(&call.name))
}

/// Follows what `sources` of the request give, and asks `sink` of each call which argument must not hold it.
fn follow_request(
    tree: &Tree<'_>,
    sources: &[&str],
    sink: &dyn Fn(&Call<'_>) -> Option<NodeId>,
    found: &mut Vec<NodeId>,
) {
    let is_source = |id: NodeId| is_method_of(tree, id, "HttpServletRequest", sources);
    let is_safe = |id: NodeId| is_escaped(tree, id);
    let flow = Flow { is_source: &is_source, is_safe: &is_safe };
    for function in tree.all().filter(|&id| tree.role(id) == Role::Function) {
        tree.follow(function, &flow, &mut |id, is_tainted| {
            let Some(call) = tree.calls_in(id..id + 1).first() else { return };
            if sink(call).is_some_and(is_tainted) {
                found.push(id);
            }
        });
    }
}

fn origin_from_request(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    const SOURCES: [&str; 3] = ["getParameter", "getHeader", "getParamater"];
    let sink = |call: &Call<'_>| {
        let header = call.positional(0).and_then(|header| tree.literal(header))?.to_ascii_lowercase();
        let is_origin = header.starts_with("access-control-allow-origin");
        let sets = is_method_of(tree, call.node, "HttpServletResponse", &["setHeader", "addHeader"]);
        call.positional(1).filter(|_| is_origin && sets)
    };
    follow_request(tree, &SOURCES, &sink, found);
}

fn error_with_input(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    const SOURCES: [&str; 4] = ["getParameter", "getHeader", "getRequestedSessionId", "getQueryString"];
    let sink = |call: &Call<'_>| {
        let sends = is_method_of(tree, call.node, "HttpServletResponse", &["sendError"]);
        call.values().last().filter(|_| sends)
    };
    follow_request(tree, &SOURCES, &sink, found);
}

fn response_with_input(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    let is_writer = |id: NodeId| is_method_of(tree, id, "HttpServletResponse", &["getWriter"]);
    let was_writer = |id: NodeId| {
        tree.bindings_at(tree.text(id), id)
            .iter()
            .any(|binding| tree.given(binding.node).is_some_and(|(_, value)| is_writer(value)))
    };
    let sink = |call: &Call<'_>| {
        let receiver = call.receiver.filter(|_| call.name == "write")?;
        call.positional(0).filter(|_| is_writer(receiver) || was_writer(receiver))
    };
    follow_request(tree, &["getParameter"], &sink, found);
}

/// Whether `name` was given a value that `is_it` accepts, in a block that goes on to `at`; and where.
fn was_given(tree: &Tree<'_>, name: Option<&str>, at: NodeId, is_it: &dyn Fn(&Call<'_>) -> bool) -> bool {
    let is_given = |id: NodeId| {
        let value =
            tree.given(id).map(|(_, value)| value).filter(|_| id < at && tree.contains(tree.block(id), at));
        value.is_some_and(|value| tree.calls_in(value..value + 1).first().is_some_and(is_it))
    };
    let Some(name) = name else {
        let function = tree.node(at).function;
        return tree.within(function).take_while(|&id| id < at).any(is_given);
    };
    // Fields and names of the functions around count too.
    tree.bindings.get(name).is_some_and(|all| {
        tree.spend(0..all.len() as NodeId);
        all.iter().any(|binding| is_given(binding.node))
    })
}

/// Whether a call like `factory.method(key, value)` with one of the settings stands before `at`.
fn was_set(tree: &Tree<'_>, at: NodeId, method: &str, settings: &[(&str, &str)]) -> bool {
    let function = tree.node(at).function;
    tree.calls_in(function..at).iter().any(|call| {
        let [key, value] = call.arguments.as_slice() else { return false };
        let block = tree.block(call.node);
        call.name == method
            && settings.contains(&(tree.text(key.value).trim_matches('"'), tree.text(value.value)))
            && tree.contains(block, at)
    })
}

fn is_static(tree: &Tree<'_>, call: &Call<'_>, owner: &str, method: &str) -> bool {
    call.name == method && receiver_text(tree, call) == owner
}

const SECURE: (&str, &str) = ("XMLConstants.FEATURE_SECURE_PROCESSING", "true");

fn open_sax_parser(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    const DOCTYPE: (&str, &str) = ("http://apache.org/xml/features/disallow-doctype-decl", "true");
    for call in tree.calls_in(tree.all()).iter().filter(|call| call.name == "parse") {
        let parser = receiver_text(tree, call);
        let is_made = was_given(tree, None, call.node, &|made| {
            is_static(tree, made, "SAXParserFactory", "newInstance") && made.arguments.is_empty()
        });
        let is_parser = was_given(tree, Some(parser), call.node, &|made| made.name == "newSAXParser");
        if is_made && is_parser && !was_set(tree, call.node, "setFeature", &[SECURE, DOCTYPE]) {
            found.push(call.node);
        }
    }
}

fn open_stream_reader(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    const CLOSED: [(&str, &str); 4] = [
        ("XMLInputFactory.SUPPORT_DTD", "false"),
        ("XMLInputFactory.SUPPORT_DTD", "Boolean.FALSE"),
        ("XMLInputFactory.IS_SUPPORTING_EXTERNAL_ENTITIES", "false"),
        ("XMLInputFactory.IS_SUPPORTING_EXTERNAL_ENTITIES", "Boolean.FALSE"),
    ];
    for call in tree.calls_in(tree.all()).iter().filter(|call| call.name == "createXMLStreamReader") {
        let factory = receiver_text(tree, call);
        let is_made = was_given(tree, Some(factory), call.node, &|made| {
            is_static(tree, made, "XMLInputFactory", "newFactory") && made.arguments.is_empty()
        });
        if is_made && !was_set(tree, call.node, "setProperty", &CLOSED) {
            found.push(call.node);
        }
    }
}

fn open_xml_reader(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    for call in tree.calls_in(tree.all()).iter().filter(|call| call.name == "parse") {
        let reader = receiver_text(tree, call);
        let is_made = was_given(tree, Some(reader), call.node, &|made| {
            is_static(tree, made, "XMLReaderFactory", "createXMLReader") && made.arguments.is_empty()
        });
        if is_made && !was_set(tree, call.node, "setFeature", &[SECURE]) {
            found.push(call.node);
        }
    }
}
