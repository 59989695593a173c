//! One request to one receiver, bounded in time and in what is read of the answer.
//!
//! No redirects are followed: an endpoint gets what is configured, nowhere else. Where something fails, the text
//! says what to do about it, and never shows more of a URL than scheme, host and port: the rest may be secret.
//! Knows nothing of notices and retries.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, PROXY_AUTHORIZATION, RETRY_AFTER};
use hyper::http::request::Builder;
use hyper::http::uri::{Authority, Scheme};
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Error as ClientError;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use percent_encoding::percent_decode_str;

use super::format::Message;
use super::guard::{Blocked, Guard};
use super::subscribed::refused;
use super::way::{self, Connector, Proxy};
use crate::clock::Stopwatch;
use crate::config::{Auth, Endpoint};

/// Most bytes that are read of an answer; a longer one costs its connection.
const MAX_ANSWER: usize = 8 * 1024;

/// Characters of an answer that are kept.
const MAX_SHOWN: usize = 200;

/// How long the text of an answer may take once its status is known: it is read for people only.
const TEXT_WITHIN: Duration = Duration::from_secs(1);

/// Most bytes of an answer's head.
const MAX_HEAD: usize = 64 * 1024;

/// How long a connection is kept for the next notice.
const KEEP: Duration = Duration::from_secs(20);

/// What sends; clones share its connections.
#[derive(Clone)]
pub struct Client {
    inner: hyper_util::client::legacy::Client<Connector, Full<Bytes>>,
    proxy: Option<Proxy>,
    guard: Option<Guard>,
}

/// Where to send to.
#[derive(Clone)]
pub struct Receiver {
    uri: Uri,
    authorization: Option<HeaderValue>,
    place: String,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status, `None` where there was no answer.
    pub status: Option<u16>,
    /// The `Retry-After` header.
    pub retry_after: Option<String>,
    /// What happened, and what to do about it; no text of the receiver's in it.
    pub what: String,
    /// The start of the receiver's text, one line.
    pub text: String,
    /// The same as it came, for a format that reads it.
    pub body: Vec<u8>,
}

impl Receiver {
    /// Reads `http://` and `https://` URLs. A user and password in one are sent as basic authentication.
    ///
    /// # Errors
    /// What is wrong with it, without showing it.
    pub fn parse(url: &str) -> Result<Receiver, String> {
        let uri: Uri = url.trim().parse().map_err(|e| format!("the url is none: {e}"))?;
        let scheme = uri.scheme().filter(|s| [Scheme::HTTP, Scheme::HTTPS].contains(s)).cloned();
        let scheme = scheme.ok_or("the url begins with neither https:// nor http://")?;
        let full = uri.authority().ok_or("the url names no host")?.as_str();
        let (user, host) = full.rsplit_once('@').map_or((None, full), |(user, host)| (Some(user), host));
        let host: Authority = host.parse().map_err(|e| format!("the url's host is none: {e}"))?;
        if host.host().is_empty() {
            return Err("the url names no host".to_owned());
        }
        let place = format!("{scheme}://{host}");
        let authorization = user.map(basic).transpose()?;
        let mut parts = uri.into_parts();
        parts.authority = Some(host);
        let uri = Uri::from_parts(parts).map_err(|e| format!("the url is none: {e}"))?;
        Ok(Receiver { uri, authorization, place })
    }

    /// The host, where it is written as an address: no resolver is asked for it.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        let host = self.uri.host().unwrap_or_default();
        host.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    /// Where it is, and how it wants to know us.
    pub(super) fn parts(&self) -> (Uri, Option<HeaderValue>) {
        (self.uri.clone(), self.authorization.clone())
    }

    /// Scheme, host and port: all of it that may be shown.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }
}

impl Client {
    /// A client for whoever is reached as `endpoint` is.
    ///
    /// # Errors
    /// What is wrong with its `ca_file` or its `proxy`.
    pub(super) fn of(endpoint: &Endpoint) -> Result<Client, String> {
        let (connector, proxy, guard) = way::to(endpoint)?;
        let inner = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEEP)
            .pool_max_idle_per_host(4)
            .http1_max_buf_size(MAX_HEAD)
            .build(connector);
        Ok(Client { inner, proxy, guard })
    }

    /// Sends `message` to where its URL leads, as the receiver wants to know us; everything together takes no longer
    /// than `limit`.
    pub async fn send(&self, message: Message, auth: Option<&Auth>, limit: Duration) -> Reply {
        let to = match Receiver::parse(&message.url) {
            Ok(to) => to,
            Err(reason) => return Reply::wrong(reason),
        };
        let body = Bytes::from(message.body);
        let request = Request::builder().method(message.method.as_str());
        let request =
            message.headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        self.exchange(&to, request, body, auth, limit).await
    }

    /// Brings `body` as it is to `url`, or asks for it where there is none.
    pub async fn bring(
        &self,
        url: &str,
        body: Option<Vec<u8>>,
        auth: Option<&Auth>,
        limit: Duration,
    ) -> Reply {
        let to = match Receiver::parse(url) {
            Ok(to) => to,
            Err(reason) => return Reply::wrong(reason),
        };
        let request = Request::builder().method(if body.is_some() { "POST" } else { "GET" });
        let request = request.header(CONTENT_TYPE, "application/octet-stream");
        self.exchange(&to, request, body.unwrap_or_default().into(), auth, limit).await
    }

    async fn exchange(
        &self,
        to: &Receiver,
        request: Builder,
        body: Bytes,
        auth: Option<&Auth>,
        limit: Duration,
    ) -> Reply {
        // A host that is an address asks no resolver.
        if let Some(address) = to.address().filter(|a| self.guard.as_ref().is_some_and(|g| !g.lets(*a))) {
            return Reply::nothing(refused(address));
        }
        let request = match self.request(to, request, body, auth) {
            Ok(request) => request,
            Err(reason) => return Reply::wrong(reason),
        };
        let watch = Stopwatch::start();
        match tokio::time::timeout(limit, self.inner.request(request)).await {
            Ok(Ok(response)) => {
                let left = limit.saturating_sub(watch.elapsed()).min(TEXT_WITHIN);
                Reply::read(response, to, left).await
            }
            Ok(Err(error)) => Reply::nothing(explain(&error, &to.place, self.proxy.as_ref())),
            Err(_) => Reply::nothing(format!(
                "{} gave no answer within {} ms: is it overloaded, or a firewall between? (timeout_ms)",
                to.place,
                limit.as_millis()
            )),
        }
    }

    fn request(
        &self,
        to: &Receiver,
        request: Builder,
        body: Bytes,
        auth: Option<&Auth>,
    ) -> Result<Request<Full<Bytes>>, String> {
        let mut request = request
            .uri(to.uri.clone())
            .body(Full::from(body))
            .map_err(|error| format!("the request cannot be made: {error}"))?;
        let headers = request.headers_mut();
        if let Some(authorization) = &to.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        if let Some((name, value)) = auth.map(authorization).transpose()?.flatten() {
            headers.insert(name, value);
        }
        let proxied = self.proxy.as_ref().filter(|_| to.uri.scheme() == Some(&Scheme::HTTP));
        if let Some(authorization) = proxied.and_then(|proxy| proxy.authorization.as_ref()) {
            headers.insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        Ok(request)
    }
}

/// The header by which a receiver knows us; a field of the body is its format's business.
///
/// # Errors
/// Where it cannot be one, without showing it.
pub fn authorization(auth: &Auth) -> Result<Option<(HeaderName, HeaderValue)>, String> {
    let (name, text) = match auth {
        Auth::Body { .. } => return Ok(None),
        Auth::Basic { user, password } => {
            (AUTHORIZATION, format!("Basic {}", BASE64.encode(format!("{user}:{}", password.reveal()))))
        }
        Auth::Bearer { token } => (AUTHORIZATION, format!("Bearer {}", token.reveal())),
        Auth::Header { name, value } => {
            let name = name.parse().map_err(|_| format!("auth: {name:?} is no name of a header"))?;
            (name, value.reveal().to_owned())
        }
    };
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| "auth: its value has characters that no header can carry".to_owned())?;
    value.set_sensitive(true);
    Ok(Some((name, value)))
}

impl Reply {
    /// Whether the receiver said that it has it.
    #[must_use]
    pub fn arrived(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// There was no answer.
    #[must_use]
    pub fn nothing(what: String) -> Reply {
        Reply { status: None, retry_after: None, what, text: String::new(), body: Vec::new() }
    }

    /// Nothing had to be asked: as good as delivered.
    #[must_use]
    pub fn done(what: &str) -> Reply {
        Reply { status: Some(204), ..Reply::nothing(what.to_owned()) }
    }

    /// It cannot be asked, now or later: as if refused.
    #[must_use]
    pub fn wrong(what: String) -> Reply {
        Reply { status: Some(400), ..Reply::nothing(what) }
    }

    async fn read(response: Response<Incoming>, from: &Receiver, left: Duration) -> Reply {
        let status = response.status();
        let header = response.headers().get(RETRY_AFTER);
        let retry_after = header.and_then(|v| v.to_str().ok()).map(str::to_owned);
        let todo = match status.as_u16() {
            300..=399 => "; redirects are not followed: set url to where it leads",
            401 | 403 => "; check the user and password, or the key, in url or auth",
            407 => "; check the user and password in proxy",
            404 => "; check the path of url",
            _ => "",
        };
        let what = format!("{} answered {status}{todo}", from.place);
        let mut bytes = Vec::new();
        // What is missing of the text, or why, changes nothing: the status was told.
        let _ = tokio::time::timeout(left, read_start(response.into_body(), &mut bytes)).await;
        Reply { status: Some(status.as_u16()), retry_after, what, text: one_line(&bytes), body: bytes }
    }
}

async fn read_start(mut body: Incoming, bytes: &mut Vec<u8>) {
    while bytes.len() < MAX_ANSWER
        && let Some(Ok(frame)) = body.frame().await
    {
        let Ok(data) = frame.into_data() else { continue };
        bytes.extend_from_slice(&data[..data.len().min(MAX_ANSWER - bytes.len())]);
    }
}

/// The start of a text, in one line, for people.
pub(super) fn one_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty());
    let mut line = String::new();
    for word in words {
        if line.len() >= MAX_SHOWN {
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word.chars().take(MAX_SHOWN));
    }
    line.chars().take(MAX_SHOWN).collect()
}

/// `Basic` and what stands before the `@` of a URL.
fn basic(user: &str) -> Result<HeaderValue, String> {
    let plain: Vec<u8> = percent_decode_str(user).collect();
    // A user alone has an empty password.
    let plain = if user.contains(':') { plain } else { [plain, b":".to_vec()].concat() };
    let mut value = HeaderValue::from_str(&format!("Basic {}", BASE64.encode(&plain)))
        .map_err(|_| "the url's user and password cannot be sent".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// What went wrong and what to do about it.
fn explain(error: &ClientError, place: &str, proxy: Option<&Proxy>) -> String {
    let through = proxy.map_or_else(String::new, |proxy| format!(" through the proxy {}", proxy.place));
    let mut causes = Vec::new();
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(cause) = next {
        let io = cause.downcast_ref::<io::Error>();
        // An io::Error passes over what it wraps when it is asked for its source.
        let inside = io.and_then(io::Error::get_ref).map(|e| e as &(dyn Error + 'static));
        if let Some(tls) = [Some(cause), inside].into_iter().flatten().find_map(|e| e.downcast_ref()) {
            return explain_tls(tls, place);
        }
        if io.is_some_and(|e| e.kind() == io::ErrorKind::ConnectionRefused) {
            return match proxy {
                None => format!("nobody listens at {place}: is the receiver running, and is the port right?"),
                Some(proxy) => format!("no proxy listens at {}: check proxy", proxy.place),
            };
        }
        let text = cause.to_string();
        let blocked = cause.source().and_then(|e| e.downcast_ref::<Blocked>());
        if let Some(blocked) = cause.downcast_ref().or(blocked) {
            return format!("{place}: {blocked}");
        }
        if text == "dns error" {
            let name = proxy.map_or(place, |proxy| &proxy.place);
            return format!("the name in {name} cannot be resolved: check url and this machine's DNS");
        }
        if text.contains("proxy authorization required") {
            return format!("no way to {place}{through}: it wants another user and password (proxy)");
        }
        if text.starts_with("tunnel error: unsuccessful") {
            return format!("no way to {place}{through}: it refuses to connect there; ask who runs it");
        }
        causes.push(text);
        next = inside.or_else(|| cause.source());
    }
    causes.dedup();
    format!("no answer from {place}{through}: {}", one_line(causes.join(": ").as_bytes()))
}

fn explain_tls(error: &rustls::Error, place: &str) -> String {
    use rustls::{AlertDescription as Alert, CertificateError as Bad, Error as Tls};
    let todo = match error {
        Tls::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            "renew its certificate, or set this machine's clock right"
        }
        Tls::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            "write the name that its certificate is for into url"
        }
        // What `openssl req -x509` makes is a certificate authority, which may not speak for a server as well.
        Tls::InvalidCertificate(bad) if format!("{bad:?}").contains("CaUsedAsEndEntity") => {
            "its certificate is that of an authority: make one for the server (basicConstraints=CA:FALSE)"
        }
        Tls::InvalidCertificate(_) => {
            "name the file of its certificate authority in ca_file, or put it among those that this machine trusts: \
             copy it to /usr/local/share/ca-certificates, run update-ca-certificates and start calljournal again"
        }
        Tls::InvalidMessage(_) => "it does not speak TLS on this port: is it http:// or another port?",
        Tls::PeerIncompatible(_)
        | Tls::PeerMisbehaved(_)
        | Tls::AlertReceived(
            Alert::ProtocolVersion | Alert::HandshakeFailure | Alert::InsufficientSecurity,
        ) => {
            "it may speak old TLS only (1.0, 1.1, RSA key exchange), which is not safe: bring it up to TLS 1.2, \
             or put a proxy before it"
        }
        _ => "see its log",
    };
    format!("no TLS with {place}: {error}; {todo}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_user_in_the_url_is_sent_and_never_shown() {
        let receiver = Receiver::parse("https://crm:s%40fe@example.com:8443/hook?key=abc").unwrap();
        assert_eq!(receiver.place(), "https://example.com:8443");
        assert_eq!(receiver.uri, "https://example.com:8443/hook?key=abc");
        assert_eq!(receiver.authorization.unwrap(), "Basic Y3JtOnNAZmU=");
    }

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(BASE64.encode(plain), coded);
        }
    }

    #[test]
    fn what_is_no_receiver_is_refused_without_showing_it() {
        for url in
            ["", "crm", "ftp://h/secret", "/secret", "https://", "https://secret@", "http://a b/secret"]
        {
            let refused = Receiver::parse(url).err().unwrap_or_else(|| panic!("{url} was taken"));
            assert!(!refused.contains("secret"), "{refused}");
        }
    }

    #[test]
    fn an_answer_is_shown_as_one_short_line() {
        assert_eq!(one_line(b"a\r\n\x1b[31mb\0  c"), "a [31mb c");
        assert_eq!(one_line(&[b'x'; 5000]).len(), MAX_SHOWN);
    }

    #[test]
    fn trouble_with_tls_says_what_to_do() {
        use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};
        for (error, todo) in [
            (Error::AlertReceived(AlertDescription::ProtocolVersion), "bring it up to TLS 1.2"),
            (
                Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13),
                "bring it up to TLS 1.2",
            ),
            (Error::InvalidCertificate(CertificateError::UnknownIssuer), "update-ca-certificates"),
            (Error::InvalidCertificate(CertificateError::Expired), "renew"),
            (Error::InvalidMessage(InvalidMessage::InvalidContentType), "is it http://"),
        ] {
            let told = explain_tls(&error, "https://crm.example");
            assert!(told.contains(todo) && told.contains("https://crm.example"), "{told}");
        }
    }
}
