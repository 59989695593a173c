//! The way to a receiver: which names lead where, whose certificates are trusted, and a proxy between.
//!
//! Knows connections and nothing of what is sent over them.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};

use hyper::Uri;
use hyper::header::HeaderValue;
use hyper::http::uri::Scheme;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower_service::Service;

use super::guard::Guard;
use super::http::{Client, Receiver};
use crate::config::Endpoint;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What connects to receivers, over TLS where their URL says so.
pub(super) type Connector = HttpsConnector<Way>;

/// The clients that there are: endpoints that are reached in the same way share one, and its connections.
#[derive(Default)]
pub struct Clients(Mutex<HashMap<Terms, Client>>);

/// What makes a way another one.
type Terms = (Option<PathBuf>, Option<String>, Option<Vec<IpNet>>);

impl Clients {
    /// The client for an endpoint.
    ///
    /// # Errors
    /// Why there is no way to it, and what to change. It is looked at anew each time, so what was changed counts.
    pub fn of(&self, endpoint: &Endpoint) -> Result<Client, String> {
        let terms = (endpoint.ca_file.clone(), endpoint.proxy.clone(), endpoint.reach.clone());
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = known.get(&terms) {
            return Ok(client.clone());
        }
        let client = Client::of(endpoint)?;
        known.insert(terms, client.clone());
        Ok(client)
    }
}

/// The way to an endpoint.
///
/// # Errors
/// What is wrong with its `ca_file` or its `proxy`.
pub(super) fn to(endpoint: &Endpoint) -> Result<(Connector, Option<Proxy>, Option<Guard>), String> {
    let guard = endpoint.reach.clone().map(Guard::new);
    let names = guard.clone().map_or_else(|| Names::Any(GaiResolver::new()), Names::Guarded);
    let mut tcp = HttpConnector::new_with_resolver(names);
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let proxy = endpoint.proxy.as_deref().map(Proxy::parse).transpose()?;
    if proxy.is_some() && guard.is_some() {
        return Err("a receiver that subscribed is reached without a proxy".to_owned());
    }
    let tls = tls(endpoint.ca_file.as_deref())?;
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
    Ok((builder.wrap_connector(Way { tcp, proxy: proxy.clone() }), proxy, guard))
}

/// Trusts what this machine trusts, and the authorities in `ca_file`.
fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = of_this_machine().clone();
    if let Some(path) = ca_file {
        for certificate in authorities(path)? {
            roots.add(certificate).map_err(|e| {
                format!("ca_file {} holds what is no certificate of an authority: {e}", path.display())
            })?;
        }
    }
    let provider = rustls::crypto::ring::default_provider();
    let versions = ClientConfig::builder_with_provider(provider.into()).with_safe_default_protocol_versions();
    let versions = versions.map_err(|e| format!("no TLS: {e}"))?;
    Ok(versions.with_root_certificates(roots).with_no_client_auth())
}

/// The certificates of a file.
fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let text = std::fs::read(path).map_err(|e| format!("ca_file {shown} cannot be read: {e}"))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|e| format!("ca_file {shown} is no PEM: {e}"))?;
    if found.is_empty() {
        return Err(format!(
            "ca_file {shown} holds no certificate: it begins with -----BEGIN CERTIFICATE-----"
        ));
    }
    Ok(found)
}

/// Read once: it takes a while, and changes with the machine's packages only.
fn of_this_machine() -> &'static RootCertStore {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (good, _) = roots.add_parsable_certificates(found.certs);
        if good == 0 {
            tracing::warn!(
                "this machine has no certificates to trust, so https:// needs a ca_file; install them: \
                 apt-get install ca-certificates"
            );
        }
        roots
    })
}

/// A proxy that leads to receivers.
#[derive(Clone)]
pub(super) struct Proxy {
    uri: Uri,
    /// For `Proxy-Authorization`.
    pub authorization: Option<HeaderValue>,
    /// Scheme, host and port: all of it that may be shown.
    pub place: String,
}

impl Proxy {
    /// Reads `http://host:port`, with `user:password@` where the proxy wants it.
    fn parse(url: &str) -> Result<Proxy, String> {
        let wrong =
            |why: &str| format!("proxy: {why}; write http://host:port, or http://user:password@host:port");
        let proxy = Receiver::parse(url).map_err(|why| wrong(&why.replace("the url", "it")))?;
        let (uri, authorization) = proxy.parts();
        if uri.scheme() != Some(&Scheme::HTTP) {
            return Err(wrong("it is spoken to over http://"));
        }
        Ok(Proxy { uri, authorization, place: proxy.place().to_owned() })
    }
}

/// Connects to a receiver, or to the proxy before it.
#[derive(Clone)]
pub(super) struct Way {
    tcp: HttpConnector<Names>,
    proxy: Option<Proxy>,
}

impl Service<Uri> for Way {
    type Response = Through;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Through, Failure>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let mut tcp = self.tcp.clone();
        match self.proxy.clone() {
            None => Box::pin(async move { Ok(Through { io: tcp.call(to).await?, proxied: false }) }),
            // What is encrypted goes through a tunnel, of which the proxy sees the ends alone.
            Some(proxy) if to.scheme() == Some(&Scheme::HTTPS) => Box::pin(async move {
                let mut tunnel = Tunnel::new(proxy.uri, tcp);
                if let Some(authorization) = proxy.authorization {
                    tunnel = tunnel.with_auth(authorization);
                }
                Ok(Through { io: tunnel.call(to).await?, proxied: false })
            }),
            // What is not is asked of the proxy by the whole address.
            Some(proxy) => {
                Box::pin(async move { Ok(Through { io: tcp.call(proxy.uri).await?, proxied: true }) })
            }
        }
    }
}

/// A connection, and whether a proxy reads what is asked over it.
pub(super) struct Through {
    io: TokioIo<TcpStream>,
    proxied: bool,
}

impl Connection for Through {
    fn connected(&self) -> Connected {
        self.io.connected().proxy(self.proxied)
    }
}

impl Read for Through {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for Through {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

/// Where names lead: anywhere, or where a guard lets them.
#[derive(Clone)]
enum Names {
    Any(GaiResolver),
    Guarded(Guard),
}

impl Service<Name> for Names {
    type Response = std::vec::IntoIter<std::net::SocketAddr>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        match self {
            Names::Any(names) => names.poll_ready(context).map_err(Into::into),
            Names::Guarded(guard) => guard.poll_ready(context),
        }
    }

    fn call(&mut self, name: Name) -> Self::Future {
        match self {
            Names::Any(names) => {
                let found = names.call(name);
                Box::pin(async move { Ok(found.await?.collect::<Vec<_>>().into_iter()) })
            }
            Names::Guarded(guard) => guard.call(name),
        }
    }
}
