//! A judge behind a chat endpoint in OpenAI's dialect, over HTTP or HTTPS. It is the one place where a crate of this project opens
//! a connection, and it does so only for a policy or an application that names the endpoint.

use crate::judged::ChatJudge;
use crate::once;
use llamafirewall_core::JudgeError;
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use ureq::http::uri::Authority;
use ureq::http::{HeaderValue, Response, StatusCode, Uri};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

/// Bytes of an answer at most; a verdict has some hundred.
const LARGEST_ANSWER: u64 = 1 << 20;

/// Connections that are kept for the next question.
const MOST_KEPT: usize = 8;

/// A clock cannot count for ever: a longer time is as this one, a year.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Where a judge is asked.
#[derive(Clone)]
pub struct Endpoint {
    /// Address of the interface, such as `http://127.0.0.1:8080/v1` or `https://judge.example/v1`; `/chat/completions` is added. Without
    /// the `s`, key and text can be read on the way: it is for servers on this machine.
    pub url: String,
    /// Name of the model there.
    pub model: String,
    /// Sent as bearer token where there is one.
    pub key: Option<String>,
    /// A file of certificates (PEM) whose signature under that of an `https` server is trusted; without one, those that browsers trust.
    pub authorities: Option<PathBuf>,
    /// From connecting to the last byte of the answer; a year at most.
    pub time: Duration,
}

/// Without the key, and without what the address may hold of one.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key.as_ref().map(|_| "...");
        let mut fields = f.debug_struct("Endpoint");
        fields.field("url", &without_user(&self.url)).field("model", &self.model).field("key", &key);
        fields.field("authorities", &self.authorities).field("time", &self.time).finish()
    }
}

impl Endpoint {
    /// A judge that asks here. Redirections are not followed and proxies of the environment are not used, so that key and
    /// text go nowhere else.
    ///
    /// # Errors
    /// The address is none of HTTP or HTTPS or has more than host and path, the key cannot be sent, `time` is 0, or `authorities` cannot be
    /// read.
    pub fn judge(self) -> Result<ChatJudge, JudgeError> {
        let uri = interface(&self.url).map_err(JudgeError)?;
        if self.time.is_zero() {
            return Err(JudgeError("a time of 0 lets nothing be asked".to_owned()));
        }
        let key = self.key.as_deref().map(authorization).transpose()?;
        let trusted = TlsConfig::builder().root_certs(trusted(self.authorities.as_deref())?).build();
        let agent = |connections: usize| {
            let config = Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .proxy(None)
                .max_idle_connections(connections)
                .tls_config(trusted.clone());
            config.build().new_agent()
        };
        let (kept, fresh) = (agent(MOST_KEPT), agent(0));
        let time = self.time.min(LONGEST);
        let client = Client { kept, fresh, uri, key, time, has_kept: AtomicBool::new(false) };
        Ok(ChatJudge::new(self.model, move |body| client.ask(body)))
    }
}

/// How a key is sent.
fn authorization(key: &str) -> Result<HeaderValue, JudgeError> {
    if key.is_empty() {
        return Err(JudgeError("the key is empty: leave it out where the endpoint wants none".to_owned()));
    }
    let header = HeaderValue::from_str(&format!("Bearer {key}")).ok();
    // Of a header's letters beyond ASCII nobody says what they are.
    let header = header.filter(|header| header.to_str().is_ok());
    header.ok_or_else(|| {
        JudgeError("the key has characters that cannot be sent: letters and signs of ASCII can".to_owned())
    })
}

/// Where questions are sent to.
fn interface(url: &str) -> Result<Uri, String> {
    let shown = without_user(url);
    if shown != url {
        return Err(format!("{shown} has a name or password: give a key instead"));
    }
    if url.contains(['?', '#']) {
        return Err(format!(
            "{url} goes on behind its path, with ? or #, and /chat/completions is to follow"
        ));
    }
    let whole = format!("{}/chat/completions", url.trim_end_matches('/'));
    let uri: Uri = whole.parse().map_err(|_| format!("{url} is no address"))?;
    match uri.scheme_str() {
        Some("http" | "https") if uri.host().is_some_and(|host| !host.is_empty()) => {
            if uri.authority().is_some_and(is_host_and_port) {
                Ok(uri)
            } else {
                Err(format!(
                    "{url} has no port behind its host: a port is a number from 1 to 65535 behind one colon"
                ))
            }
        }
        _ => Err(format!("{url} does not begin with https:// or http:// and a host")),
    }
}

/// Whether nothing but a port follows the host, if anything does: a client asks the usual port where what follows is none, and so
/// another server than the one that is named.
fn is_host_and_port(authority: &Authority) -> bool {
    let Some(after) = authority.as_str().strip_prefix(authority.host()) else { return false };
    let is_port = |port: &str| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    after.is_empty() || after.strip_prefix(':').is_some_and(is_port)
}

/// An address to show: what stands before its host may be a password.
fn without_user(url: &str) -> Cow<'_, str> {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |length| host + length);
    match url[host..end].rfind('@') {
        Some(at) => Cow::Owned(format!("{}...{}", &url[..host], &url[host + at..])),
        None => Cow::Borrowed(url),
    }
}

/// Whose certificates are believed.
fn trusted(authorities: Option<&Path>) -> Result<RootCerts, JudgeError> {
    let Some(path) = authorities else { return Ok(RootCerts::WebPki) };
    let fault = |why: &dyn fmt::Display| JudgeError(format!("certificates in {}: {why}", path.display()));
    let pem = std::fs::read(path).map_err(|e| fault(&e))?;
    let items: Result<Vec<PemItem<'static>>, _> = parse_pem(&pem).collect();
    // What the library says of them are its own names and numbers.
    let items = items.map_err(|_| fault(&"they are cut off or damaged, or no PEM"))?;
    let certificates: Vec<_> = items
        .into_iter()
        .filter_map(
            |item| if let PemItem::Certificate(certificate) = item { Some(certificate) } else { None },
        )
        .collect();
    if certificates.is_empty() {
        return Err(fault(&"there are none"));
    }
    Ok(RootCerts::from(certificates))
}

/// Asks one endpoint, over connections that are kept from one question to the next.
struct Client {
    kept: Agent,
    /// Opens a connection for each question.
    fresh: Agent,
    uri: Uri,
    key: Option<HeaderValue>,
    time: Duration,
    /// Whether there has been an answer, after which a connection may have been kept.
    has_kept: AtomicBool,
}

impl Client {
    /// Sends a question and reads the answer. Errors say what went wrong and quote neither.
    fn ask(&self, body: &Value) -> Result<Value, String> {
        let body = body.to_string();
        let begun = Instant::now();
        let mut sent = self.send(&self.kept, self.time, &body);
        // A server closes a kept connection when it likes, also while a question is on its way there.
        if self.has_kept.load(Ordering::Relaxed) && sent.as_ref().is_err_and(is_closed) {
            sent = self.send(&self.fresh, self.time.saturating_sub(begun.elapsed()), &body);
        }
        let mut answer = sent.map_err(|e| format!("no answer: {e}"))?;
        if answer.status() != StatusCode::OK {
            return Err(format!("the endpoint answered with status {}", answer.status().as_u16()));
        }
        let text = answer.body_mut().with_config().limit(LARGEST_ANSWER).read_to_string();
        let text = text.map_err(|e| format!("no whole answer: {e}"))?;
        self.has_kept.store(true, Ordering::Relaxed);
        let read = once::read(&text);
        read.ok_or_else(|| "the endpoint's answer is no JSON in which each key stands once".to_owned())
    }

    fn send(&self, agent: &Agent, time: Duration, body: &str) -> Result<Response<Body>, ureq::Error> {
        let request = agent.post(&self.uri).config().timeout_global(Some(time)).build();
        let mut request = request.header("Content-Type", "application/json");
        if let Some(key) = &self.key {
            request = request.header("Authorization", key);
        }
        request.send(body)
    }
}

/// Whether a connection ended before the head of an answer had come.
fn is_closed(error: &ureq::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let ends = [BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof];
    matches!(error, ureq::Error::Io(e) if ends.contains(&e.kind()))
}
