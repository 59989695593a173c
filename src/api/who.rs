//! Who uses the HTTP interface: a program of this machine, or one that holds a token.
//!
//! Knows addresses, headers and tokens; not what may be done with them.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem;
use crate::caller;
use crate::config::{LOCAL, Right, Token};

/// Who asks, as a route finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// A program of this machine.
    Local,
    /// Who holds the token of this name.
    Holder(String),
}

impl Who {
    /// Whose name is on what is made.
    pub fn name(&self) -> &str {
        match self {
            Who::Local => LOCAL,
            Who::Holder(name) => name,
        }
    }

    /// Whether what belongs to `owner` may be seen and changed: everybody his own, who is at the machine all.
    pub fn owns(&self, owner: &str) -> bool {
        *self == Who::Local || self.name() == owner
    }
}

/// Lets those in who may come in, and tells the routes who it is. Needs the peer's address as
/// `ConnectInfo<SocketAddr>`: without one, only a token counts.
pub async fn admit(State(tokens): State<Arc<Vec<Token>>>, mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    let who = match caller::bearer(headers) {
        Some(told) => {
            let holder = tokens.iter().find(|token| caller::same_secret(token.secret.reveal(), told));
            if holder.is_some_and(|token| !token.may.contains(&Right::Subscribe)) {
                let detail = "this token is good for other things: [[token]] may has no \"subscribe\"";
                return problem(StatusCode::FORBIDDEN, detail).into_response();
            }
            holder.map(|token| Who::Holder(token.name.clone()))
        }
        None => peer.filter(|peer| caller::is_local(*peer, headers)).map(|_| Who::Local),
    };
    let Some(who) = who else {
        let detail =
            "send a token of [[token]] as \"Authorization: Bearer …\", or ask from the machine itself";
        let mut refusal = problem(StatusCode::UNAUTHORIZED, detail).into_response();
        refusal.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        return refusal;
    };
    request.extensions_mut().insert(who);
    next.run(request).await
}
