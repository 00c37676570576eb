//! Rules for C# that follow a request's parameters through a method.

use super::csharp::{Method, makes, member_set, methods, settings};
use crate::syntax::{Call, Field, Flow, NodeId, Role, Tree};

/// Which parameters are untrusted: those of which methods.
fn parameters<'t>(tree: &Tree<'t>, method: &Method<'t>) -> Vec<&'t str> {
    let list = tree.child(method.node, Field::Parameters);
    let listed = list.map(|list| tree.parts(list).collect::<Vec<_>>()).unwrap_or_default();
    let names = listed.into_iter().filter(|&part| tree.role(part) == Role::Parameter);
    names.filter_map(|part| tree.declared_name(part)).map(|name| tree.text(name)).collect()
}

/// An action that answers with text: `[HttpGet] public string ...` of a controller.
fn answers_text(method: &Method<'_>) -> bool {
    method.is_public
        && method.bases.contains(&"Controller")
        && method.returns == "string"
        && method.annotations.iter().any(|name| name.starts_with("Http"))
}

/// Follows the parameters of a method; `sink` says what of a node must not hold them.
fn follow_parameters(
    tree: &Tree<'_>,
    method: &Method<'_>,
    is_safe: &dyn Fn(NodeId) -> bool,
    sink: &dyn Fn(NodeId) -> Option<NodeId>,
    found: &mut Vec<NodeId>,
) {
    let names = parameters(tree, method);
    let list = tree.child(method.node, Field::Parameters).unwrap_or(method.node);
    let is_source =
        |id: NodeId| tree.is_variable(id) && !tree.contains(list, id) && names.contains(&tree.text(id));
    let flow = Flow { is_source: &is_source, is_safe };
    tree.follow(method.node, &flow, &mut |id, is_tainted| {
        if sink(id).is_some_and(is_tainted) {
            found.push(id);
        }
    });
}

fn call_at<'a, 't>(tree: &'a Tree<'t>, id: NodeId) -> Option<&'a Call<'t>> {
    tree.calls_in(id..id + 1).first()
}

/// Whether a call is `Type.Method(...)` for one of the methods, by the full name or with an import.
fn is_static(tree: &Tree<'_>, call: &Call<'_>, full: &str, methods: &[&str]) -> bool {
    let Some(of) = call.receiver else { return false };
    methods.contains(&call.name) && tree.names_type(tree.text(of), full)
}

/// Whether a call is a method of an object of a type.
fn is_method(tree: &Tree<'_>, call: &Call<'_>, full: &str, methods: &[&str]) -> bool {
    methods.contains(&call.name)
        && call.receiver.and_then(|of| tree.type_of(of)).is_some_and(|of| tree.names_type(of, full))
}

const DIRECTORY: [&str; 3] = ["Delete", "GetFiles", "Move"];
const FILE: [&str; 28] = [
    "AppendAllLines",
    "AppendAllLinesAsync",
    "AppendAllText",
    "AppendAllTextAsync",
    "AppendText",
    "Copy",
    "Create",
    "CreateText",
    "Delete",
    "Move",
    "Open",
    "OpenRead",
    "OpenText",
    "OpenWrite",
    "ReadAllBytes",
    "ReadAllBytesAsync",
    "ReadAllLines",
    "ReadAllLinesAsync",
    "ReadAllText",
    "ReadAllTextAsync",
    "ReadLines",
    "Replace",
    "SetAccessControl",
    "WriteAllBytes",
    "WriteAllBytesAsync",
    "WriteAllLines",
    "WriteAllLinesAsync",
    "WriteAllText",
];
const ASSEMBLY: [&str; 4] = ["LoadFile", "LoadFrom", "ReflectionOnlyLoadFrom", "UnsafeLoadFrom"];

/// Static methods that take a path.
const PATH_FUNCTIONS: [(&str, &[&str]); 6] = [
    ("System.IO.Directory", &DIRECTORY),
    ("System.IO.File", &FILE),
    ("System.IO.File", &["WriteAllTextAsync"]),
    ("System.Reflection.Assembly", &ASSEMBLY),
    ("System.AppDomain", &["AppendPrivatePath"]),
    ("System.Xml.XmlReader", &["Create"]),
];

/// Methods of objects that take a path.
const PATH_METHODS: [(&str, &[&str]); 7] = [
    ("System.IO.FileInfo", &["CopyTo", "MoveTo", "Replace"]),
    ("Microsoft.AspNetCore.Mvc.RazorPages.PageModel", &["PhysicalFile"]),
    ("System.Web.UI.WebControls.FileUpload", &["SaveAs"]),
    ("System.Web.HttpResponse", &["TransmitFile", "WriteFile"]),
    ("System.Web.HttpResponseBase", &["TransmitFile", "WriteFile"]),
    (
        "System.IO.Compression.ZipFileExtensions",
        &["CreateEntryFromFile", "ExtractToFile", "ExtractToDirectory"],
    ),
    ("System.Net.WebClient", &["DownloadFile", "DownloadFileAsync", "DownloadFileTaskAsync"]),
];

/// Types that are made from a path.
const PATH_TYPES: [&str; 3] =
    ["System.IO.FileInfo", "System.Web.Mvc.FilePathResult", "Microsoft.AspNetCore.Mvc.PhysicalFileResult"];

/// Methods that make a path safe.
const PATH_GUARDS: [(&str, &[&str]); 4] = [
    ("Microsoft.Extensions.FileProviders.PhysicalFileProvider", &["GetFileInfo"]),
    ("System.Web.HttpServerUtility", &["MapPath"]),
    ("System.Web.HttpServerUtilityBase", &["MapPath"]),
    ("System.Web.HttpRequest", &["MapPath"]),
];

pub(super) fn path_traversal(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    let takes_path = |id: NodeId| {
        call_at(tree, id).is_some_and(|call| {
            if call.makes {
                return PATH_TYPES.iter().any(|full| tree.names_type(call.name, full));
            }
            PATH_FUNCTIONS.iter().any(|(full, methods)| is_static(tree, call, full, methods))
                || PATH_METHODS.iter().any(|(full, methods)| is_method(tree, call, full, methods))
        })
    };
    let is_safe = |id: NodeId| {
        call_at(tree, id).is_some_and(|call| {
            PATH_GUARDS.iter().any(|(full, methods)| is_method(tree, call, full, methods))
        })
    };
    for method in methods(tree) {
        let is_action =
            method.is_public && method.bases.contains(&"Controller") && method.returns == "IActionResult";
        if is_action || answers_text(&method) {
            follow_parameters(tree, &method, &is_safe, &|id| takes_path(id).then_some(id), found);
        }
    }
}

pub(super) fn unvalidated_redirect(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    const REDIRECTS: [&str; 4] =
        ["Redirect", "RedirectPermanent", "RedirectToRoute", "RedirectToRoutePermanent"];
    const CHECKS: [&str; 4] = ["TryCreate", "Action", "HttpRouteUrl", "RouteUrl"];
    let redirects = |id: NodeId| {
        call_at(tree, id).is_some_and(|call| {
            let made = call.makes && call.name == "RedirectResult";
            made || !call.makes && call.receiver.is_none() && REDIRECTS.contains(&call.name)
        })
    };
    let is_safe = |id: NodeId| {
        call_at(tree, id).is_some_and(|call| call.receiver.is_none() && CHECKS.contains(&call.name))
    };
    let guards: Vec<NodeId> = tree.all().filter(|&id| checks_local(tree, id)).collect();
    for method in methods(tree).iter().filter(|method| method.is_public) {
        let sink = |id: NodeId| {
            let is_guarded = || guards.iter().any(|&guard| tree.contains(guard, id));
            (redirects(id) && !is_guarded()).then_some(id)
        };
        follow_parameters(tree, method, &is_safe, &sink, found);
    }
}

/// `if (Url.IsLocalUrl(x)) { ... Redirect(...); ... }`.
fn checks_local(tree: &Tree<'_>, id: NodeId) -> bool {
    if tree.role(id) != Role::If {
        return false;
    }
    let condition = tree.child(id, Field::Condition).map(|condition| tree.bare(condition));
    let is_check = condition
        .and_then(|condition| call_at(tree, condition))
        .is_some_and(|call| call.name == "IsLocalUrl");
    let body = tree.child(id, Field::Consequence);
    is_check && body.is_some_and(|body| tree.role(body) == Role::Block)
}

/// Methods that write into a page.
const PAGE_METHODS: [(&str, &[&str]); 9] = [
    ("System.Web.Mvc.HtmlHelper", &["Raw"]),
    ("Microsoft.AspNetCore.Mvc.Rendering.IHtmlHelper", &["Raw"]),
    (
        "System.Web.HttpResponse",
        &["AddHeader", "AppendHeader", "Write", "BinaryWrite", "TransmitFile", "WriteFile"],
    ),
    ("System.Web.HttpResponseBase", &["AddHeader", "AppendHeader", "Write", "BinaryWrite", "WriteFile"]),
    ("System.Web.UI.HtmlTextWriter", &["AddAttribute", "AddStyleAttribute", "RenderBeginTag", "Write"]),
    (
        "System.Web.UI.HtmlTextWriter",
        &["WriteAttribute", "WriteBeginTag", "WriteEndTag", "WriteFullBeginTag", "WriteStyleAttribute"],
    ),
    ("System.Web.UI.ClientScriptManager", &["RegisterStartupScript", "RegisterClientScriptBlock"]),
    ("System.Web.UI.Page", &["RegisterStartupScript"]),
    ("System.Web.UI.Page", &["RegisterClientScriptBlock"]),
];

pub(super) fn cross_site_scripting(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    const ENCODERS: [&str; 8] = [
        "SerializeObject",
        "HtmlAttributeEncode",
        "HtmlEncode",
        "HtmlFormUrlEncode",
        "UrlEncode",
        "UrlPathEncode",
        "XmlAttributeEncode",
        "XmlEncode",
    ];
    let writes = |id: NodeId| {
        tree.role(id) == Role::Return
            || call_at(tree, id).is_some_and(|call| {
                PAGE_METHODS.iter().any(|(full, methods)| is_method(tree, call, full, methods))
            })
    };
    let is_safe = |id: NodeId| {
        call_at(tree, id).is_some_and(|call| {
            let encodes =
                ENCODERS.iter().any(|name| call.name.starts_with(name)) || call.name.starts_with("Encode");
            call.receiver.is_some() && encodes
        })
    };
    for method in methods(tree).iter().filter(|method| answers_text(method)) {
        follow_parameters(tree, method, &is_safe, &|id| writes(id).then_some(id), found);
    }
}

/// Parsers of XML made with what they allow by themselves, and used without forbidding DTDs first.
pub(super) fn external_entities(tree: &Tree<'_>, found: &mut Vec<NodeId>) {
    for id in tree.all().filter(|&id| tree.role(id) == Role::Declarator) {
        let Some((name, value)) = tree.given(id) else { continue };
        let is_settings = makes(tree, value, "XmlReaderSettings").is_some();
        let is_document = makes(tree, value, "XmlDocument").is_some();
        let initial = settings(tree, value);
        let is_open = is_settings && initial.is_empty()
            || is_document && !initial.iter().any(|&(name, value)| is_closing(tree, name, value));
        if !is_open {
            continue;
        }
        let name = tree.text(name);
        let closed_at = tree.after(id).find(|&later| closes(tree, later, name)).unwrap_or(NodeId::MAX);
        for call in tree.calls_in(tree.after(id)).iter().filter(|call| call.node < closed_at) {
            let of = call.receiver.map_or("", |of| tree.text(of));
            let last = call.values().last().map_or("", |last| tree.text(last));
            let reads = is_settings && call.name == "Create" && of == "XmlReader" && last == name;
            if reads || is_document && call.name == "Load" && of == name {
                found.push(call.node);
            }
        }
    }
}

fn is_closing(tree: &Tree<'_>, member: &str, value: NodeId) -> bool {
    matches!(
        (member, tree.text(value)),
        ("ProhibitDtd", "true") | ("DtdProcessing", "DtdProcessing.Prohibit") | ("XmlResolver", "null")
    )
}

/// `name.Member = value` that forbids DTDs or their resolution.
fn closes(tree: &Tree<'_>, id: NodeId, name: &str) -> bool {
    let Some((target, _)) = tree.assigned(id) else { return false };
    let object = tree.child(target, Field::Object).map(|object| tree.text(object));
    object == Some(name)
        && member_set(tree, id).is_some_and(|(_, member, value)| is_closing(tree, member, value))
}
