//! The ways to a receiver: how it knows us, over which addresses, proxies and certificates.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use calljournal::config::{Auth, Endpoint, Secret};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{Receiver, Site, delivered, raw};

impl Site {
    /// Sends one notice over the way that `change` makes of a plain one; answers with the detail of its attempt.
    async fn over(name: &str, url: &str, change: impl FnOnce(&mut Endpoint)) -> (Option<String>, String) {
        let mut site = Site::new();
        site.sends_to(name, url, 5000);
        change(&mut site.endpoints[0]);
        site.write(1, "c1").await;
        site.start();
        site.until("it was tried", |s| s.deliveries()[0].detail.is_some()).await;
        site.stop().await;
        let delivery = site.deliveries().remove(0);
        (delivery.outcome, delivery.detail.unwrap())
    }
}

fn yes() -> Option<String> {
    Some("delivered".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_knows_us_as_it_wants_to() {
    let secret = |text: &str| Secret::new(text);
    for (auth, header, value) in [
        (Auth::Basic { user: "me".into(), password: secret("p:ss") }, "authorization", "Basic bWU6cDpzcw=="),
        (Auth::Bearer { token: secret("t0ken") }, "authorization", "Bearer t0ken"),
        (Auth::Header { name: "X-Api-Key".into(), value: secret("k3y") }, "x-api-key", "k3y"),
    ] {
        let (url, heads) = listening().await;
        // What is configured counts more than what stands in the URL.
        let url = url.replace("http://", "http://other:one@");
        let (outcome, detail) = Site::over("crm", &url, |e| e.auth = Some(auth)).await;
        assert_eq!(outcome, yes(), "{detail}");
        let heads = heads.lock().unwrap().join("");
        assert!(heads.contains(&format!("{header}: {value}\r\n")), "{heads}");
        assert_eq!(heads.matches("authorization:").count(), 1, "{heads}");
    }
    let header = Auth::Header { name: "no header\n".into(), value: secret("k3y") };
    let (outcome, detail) = Site::over("crm", "http://127.0.0.1:1/", |e| e.auth = Some(header)).await;
    assert!(outcome == Some("refused".into()) && !detail.contains("k3y"), "{detail}");
}

/// A receiver that takes everything, and the heads of what it got.
async fn listening() -> (String, Arc<Mutex<Vec<String>>>) {
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = heads.clone();
    let url = raw(move |mut socket: TcpStream| {
        let kept = kept.clone();
        async move {
            let head = head(&mut socket).await;
            kept.lock().unwrap().push(head);
            let _ = socket.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
        }
    })
    .await;
    (url, heads)
}

async fn head(socket: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    while !text.windows(4).any(|w| w == b"\r\n\r\n") {
        let mut byte = [0];
        if socket.read(&mut byte).await.unwrap_or(0) == 0 {
            break;
        }
        text.push(byte[0]);
    }
    let text = String::from_utf8(text).unwrap();
    // Names of headers are in any case.
    text.lines()
        .map(|line| match line.split_once(": ") {
            Some((name, value)) => format!("{}: {value}\r\n", name.to_lowercase()),
            None => format!("{line}\r\n"),
        })
        .collect()
}

/// A proxy that wants `me:pw` and writes down what it is asked for.
async fn proxy() -> (String, Arc<Mutex<Vec<String>>>) {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = asked.clone();
    let url = raw(move |mut socket: TcpStream| {
        let kept = kept.clone();
        async move {
            let head = head(&mut socket).await;
            let line = head.lines().next().unwrap_or_default().to_owned();
            if !head.contains("proxy-authorization: Basic bWU6cHc=\r\n") {
                let _ = socket.write_all(b"HTTP/1.1 407 no\r\ncontent-length: 0\r\n\r\n").await;
                return;
            }
            kept.lock().unwrap().push(line.clone());
            if let Some(to) = line.strip_prefix("CONNECT ") {
                let mut there = TcpStream::connect(to.split(' ').next().unwrap()).await.unwrap();
                let _ = socket.write_all(b"HTTP/1.1 200 there\r\n\r\n").await;
                let _ = copy_bidirectional(&mut socket, &mut there).await;
            } else {
                let _ = socket.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
            }
        }
    })
    .await;
    (url, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_asked_for_the_whole_address_or_for_a_tunnel() {
    let tls = Tls::of("localhost").await;
    let (url, asked) = proxy().await;
    let authorized = Some(url.replace("http://", "http://me:pw@"));
    let plain = Site::over("crm", "http://crm.invalid/x?y=1", |e| e.proxy = authorized.clone()).await;
    assert_eq!(plain.0, yes(), "{}", plain.1);
    let (outcome, detail) = Site::over("crm", &tls.url("localhost"), |e| {
        e.proxy = authorized.clone();
        e.ca_file = Some(tls.ca());
    })
    .await;
    assert_eq!(outcome, yes(), "{detail}");
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked[0], "POST http://crm.invalid/x?y=1 HTTP/1.1");
    assert_eq!(asked[1], format!("CONNECT localhost:{} HTTP/1.1", tls.port));
    // Without the user and the password.
    for to in ["http://crm.invalid/", &tls.url("localhost")] {
        let (outcome, detail) = Site::over("crm", to, |e| e.proxy = Some(url.clone())).await;
        assert!(outcome != yes() && detail.contains("proxy"), "{detail}");
    }
    let nobody = Some("http://127.0.0.1:1".to_owned());
    let (_, detail) = Site::over("crm", "http://crm.invalid/", |e| e.proxy = nobody).await;
    assert!(detail.contains("no proxy listens at http://127.0.0.1:1"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_trusted_for_its_own_name_and_by_an_authority_of_ones_own() {
    let tls = Tls::of("localhost").await;
    let (outcome, detail) = Site::over("crm", &tls.url("localhost"), |e| e.ca_file = Some(tls.ca())).await;
    assert_eq!(outcome, yes(), "{detail}");
    let (outcome, detail) = Site::over("crm", &tls.url("localhost"), |_| {}).await;
    assert!(outcome.is_none() && detail.contains("ca_file"), "{detail}");
    let (outcome, detail) = Site::over("crm", &tls.url("127.0.0.1"), |e| e.ca_file = Some(tls.ca())).await;
    assert!(outcome.is_none() && detail.contains("the name that its certificate is for"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_speaks_old_tls_only_is_told_as_such() {
    // What it is asked for, TLS 1.2 or 1.3, it refuses as a server of TLS 1.0 does: with the alert `protocol_version`.
    let url = raw(async |mut socket: TcpStream| {
        let _ = socket.read(&mut [0; 4096]).await;
        let _ = socket.write_all(&[21, 3, 1, 0, 2, 2, 70]).await;
    })
    .await;
    let (outcome, detail) = Site::over("crm", &url.replace("http:", "https:"), |_| {}).await;
    assert!(outcome.is_none() && detail.contains("bring it up to TLS 1.2"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_may_be_an_address_of_ipv6() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else { return };
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            head(&mut socket).await;
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    let (outcome, detail) = Site::over("crm", &format!("http://{address}/x"), |_| {}).await;
    assert_eq!(outcome, yes(), "{detail}");
    assert!(detail.contains("http://[::1]:"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_subscribed_is_not_reached_at_this_machine_by_whatever_name() {
    let receiver = Receiver::answering(200).await;
    let port = receiver.address.port();
    for host in ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"] {
        let url = format!("http://{host}:{port}/");
        let (outcome, detail) = Site::over("crm", &url, |e| e.reach = Some(Vec::new())).await;
        assert!(outcome.is_none() && detail.contains("subscribe"), "{host}: {detail}");
    }
    assert!(receiver.got().is_empty());
    let reach = vec!["127.0.0.0/8".parse().unwrap()];
    let (outcome, detail) = Site::over("crm", &receiver.url(), |e| e.reach = Some(reach)).await;
    assert_eq!(outcome, yes(), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_way_nothing_is_tried_and_all_waits_until_there_is_one() {
    let tls = Tls::of("localhost").await;
    let mut site = Site::new();
    let late = site.dir.path().join("late.pem");
    site.sends_to("crm", &tls.url("localhost"), 5000);
    site.endpoints[0].ca_file = Some(late.clone());
    site.write(1, "c1").await;
    site.start();
    site.settle_down().await;
    assert_eq!(site.deliveries()[0].attempts, 0);
    std::fs::copy(tls.ca(), &late).unwrap();
    site.until("it is delivered", delivered).await;
    site.stop().await;
}

/// A receiver behind TLS, with an authority of its own.
struct Tls {
    dir: tempfile::TempDir,
    port: u16,
}

impl Tls {
    /// One whose certificate is for `name`.
    async fn of(name: &str) -> Tls {
        let dir = tempfile::tempdir().unwrap();
        make_certificates(dir.path(), name);
        let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
        let certificate = CertificateDer::from_pem_slice(&read("cert.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_slice(&read("key.pem")).unwrap();
        let provider = rustls::crypto::ring::default_provider();
        let server = rustls::ServerConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let tls = TlsAcceptor::from(Arc::new(server));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let Ok(mut socket) = tls.accept(socket).await else { continue };
                head(&mut socket).await;
                let _ = socket.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
                let _ = socket.shutdown().await;
            }
        });
        Tls { dir, port }
    }

    fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/", self.port)
    }

    fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }
}

fn make_certificates(dir: &Path, name: &str) {
    let script = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=ca \
                  -keyout ca.key -out ca.pem
                  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=$1 \
                  -keyout key.pem -out csr.pem
                  printf 'subjectAltName=DNS:%s\\nbasicConstraints=CA:FALSE\\n' \"$1\" > ext
                  openssl x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext \
                  -out cert.pem";
    let made = Command::new("sh").current_dir(dir).args(["-ec", script, "sh", name]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
