//! Who is let in: those who come from a trusted address. Old clients have no tokens.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use super::super::auth::{Need, allows};
use super::super::http::App;
use super::error::{V1Error, V1Result};

/// The name under which changes are recorded.
#[derive(Debug, Clone)]
pub struct Actor(pub Arc<str>);

/// Lets only those to the routes whose roles allow it.
pub(super) fn require(routes: Router<Arc<App>>, app: &Arc<App>, need: Need) -> Router<Arc<App>> {
    let app = Arc::clone(app);
    routes.route_layer(from_fn_with_state(
        app,
        move |State(app): State<Arc<App>>, request: Request, next: Next| {
            admit(app, need, request, next)
        },
    ))
}

async fn admit(app: Arc<App>, need: Need, mut request: Request, next: Next) -> Response {
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    match identify(&app, address, need) {
        Ok(actor) => {
            request.extensions_mut().insert(actor);
            next.run(request).await
        }
        // An old client that is answered 403 repeats its request for ever.
        Err(message) => V1Error::unauthenticated(message).into_response(),
    }
}

fn identify(app: &App, address: Option<SocketAddr>, need: Need) -> Result<Actor, String> {
    let Some(address) = address.map(|address| address.ip().to_canonical()) else {
        return Err("the address is not known".to_owned());
    };
    let Some(roles) = app.trust.roles(address) else {
        return Err(format!(
            "{address} is not trusted; start the server with --trust {address}, or use a client of \
             this version with a token"
        ));
    };
    // A worker reads what it is to do.
    let may = |role| allows(role, need) || (need == Need::Read && allows(role, Need::JoinWorker));
    if !roles.iter().any(|role| may(*role)) {
        let role = if need == Need::JoinWorker { "agent" } else { "user" };
        return Err(format!(
            "{address} is trusted, but not for this; start the server with --trust-role {role} as well"
        ));
    }
    Ok(Actor(format!("trusted:{address}").into()))
}

impl<S: Send + Sync> FromRequestParts<S> for Actor {
    type Rejection = V1Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> V1Result<Self> {
        // Every route stands behind the gate; without it nobody is anybody.
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| V1Error::unauthenticated("this route has no gate"))
    }
}
