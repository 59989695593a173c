//! Two nodes that send from one outbox: each notice goes out from one of them, in the order of its call. On
//! PostgreSQL alone, since a SQLite file has one server.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use calljournal::config::Endpoint;
use calljournal::notify::Notifier;
use calljournal::store::Store;
use jiff::SignedDuration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::super::{on_postgres, url};
use super::{Site, delivered, raw, silent};

/// One receiver as several addresses, so that it is seen which node sent what. Nobody is answered until it is open.
struct Office {
    got: Arc<Mutex<Vec<(usize, String)>>>,
    open: watch::Sender<bool>,
}

impl Office {
    fn new(open: bool) -> Office {
        Office { got: Arc::default(), open: watch::channel(open).0 }
    }

    /// The address for node number `node`.
    async fn door(&self, node: usize) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let door = (node, self.got.clone(), self.open.subscribe());
        let router = Router::new().fallback(take).with_state(door);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        format!("http://{address}/")
    }

    /// Which node sent which notice, in the order of arrival.
    fn got(&self) -> Vec<(usize, String)> {
        self.got.lock().unwrap().clone()
    }
}

type Door = (usize, Arc<Mutex<Vec<(usize, String)>>>, watch::Receiver<bool>);

async fn take(State((node, got, mut open)): State<Door>, headers: HeaderMap) {
    got.lock().unwrap().push((node, headers["webhook-id"].to_str().unwrap().to_owned()));
    let _ = open.wait_for(|open| *open).await;
}

/// A node on the database of `site` that knows its endpoint by this address.
fn node(site: &Site, address: String) -> JoinHandle<()> {
    let store = Store::open(&url(site.dir.path())).unwrap();
    let endpoint = Endpoint { url: address, ..site.endpoints[0].clone() };
    let notifier = Notifier::new(store, site.clock.clone(), vec![endpoint]);
    tokio::spawn(notifier.woken_by(site.bell.clone()).run(site.stop.clone()))
}

/// A journal with so many notices for one endpoint, two of each call.
async fn site(notices: u128) -> Site {
    let mut site = Site::new();
    site.sends_to("crm", "http://127.0.0.1:1/", 20_000);
    for n in 0..notices {
        site.write(n, &format!("c{}", n / 2)).await;
    }
    site
}

fn id(n: u128) -> String {
    Uuid::from_u128(n).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_share_the_notices_and_none_goes_out_twice() {
    if !on_postgres() {
        return;
    }
    let site = site(60).await;
    let office = Office::new(false);
    let nodes = [node(&site, office.door(0).await), node(&site, office.door(1).await)];
    // A node has few attempts at a time, and none of them ends yet: so both are at work.
    let at_work = || office.got().iter().map(|(node, _)| *node).collect::<BTreeSet<_>>().len();
    site.until("both nodes send", |_| at_work() == 2).await;
    office.open.send_replace(true);
    site.until("all is delivered", delivered).await;
    site.settle_down().await;
    site.stop.cancel();
    for node in nodes {
        node.await.unwrap();
    }
    let sent: Vec<String> = office.got().into_iter().map(|(_, id)| id).collect();
    assert_eq!(sent.iter().collect::<BTreeSet<_>>().len(), 60);
    assert_eq!(sent.len(), 60, "a notice went out twice: {sent:?}");
    assert!(site.deliveries().iter().all(|d| d.attempts == 1), "{:?}", site.deliveries());
    // Whichever nodes they came from.
    let place = |n: u128| sent.iter().position(|sent| *sent == id(n)).unwrap();
    for first in (0..60).step_by(2) {
        assert!(place(first) < place(first + 1), "the later notice of a call came first: {sent:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_node_was_sending_another_sends_once_the_lease_is_over_and_the_rest_at_once() {
    if !on_postgres() {
        return;
    }
    let site = site(20).await;
    let dead = node(&site, raw(silent).await);
    let begun = |site: &Site| site.deliveries().iter().filter(|d| d.attempts > 0).count();
    site.until("it sends as many as it may", |site| begun(site) == 4).await;
    dead.abort();
    let _ = dead.await;
    let office = Office::new(true);
    let other = node(&site, office.door(1).await);
    // Four, and four that come after them.
    site.until("the rest is delivered", |_| office.got().len() == 12).await;
    site.settle_down().await;
    assert_eq!(office.got().len(), 12, "the dead one may still be at it");
    site.clock.advance(SignedDuration::from_secs(20 + 31));
    site.until("all is delivered", delivered).await;
    site.settle_down().await;
    site.stop.cancel();
    other.await.unwrap();
    let sent: BTreeSet<String> = office.got().into_iter().map(|(_, id)| id).collect();
    assert_eq!((office.got().len(), sent), (20, (0..20).map(id).collect()));
}
