//! Who is asking, and whether they may: the layer in front of every route.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use crate::api::error::ErrorCode;

use super::super::auth::{AuthError, Need, Principal, allows};
use super::super::config::PlainTokens;
use super::super::failures::Judgement;
use super::App;
use super::error::{ApiError, ApiResult};
use super::metrics::Counts;

/// Header under which a reply names its request in the log.
const REQUEST_ID: &str = "x-request-id";

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) privacy: Privacy,
}

/// Who else can read what is sent on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Privacy {
    /// Nobody: it is encrypted, or does not leave this machine.
    Private,
    /// Everybody on the way.
    Exposed,
}

/// The one who asks, known and allowed to.
#[derive(Debug, Clone)]
pub struct Caller {
    pub principal: Arc<Principal>,
    /// The name that is recorded with changes.
    pub name: Arc<str>,
}

tokio::task_local! {
    static CURRENT_REQUEST: u64;
}

static REQUESTS: AtomicU64 = AtomicU64::new(1);

/// The id of the request that is being answered.
pub(super) fn current_request_id() -> String {
    CURRENT_REQUEST.try_with(|id| format!("{id:x}")).unwrap_or_default()
}

/// Lets only those to the routes whose role allows it.
pub(super) fn require(routes: Router<Arc<App>>, app: &Arc<App>, need: Need) -> Router<Arc<App>> {
    let app = Arc::clone(app);
    routes.route_layer(from_fn_with_state(
        app,
        move |State(app): State<Arc<App>>, request: Request, next: Next| {
            admit(app, need, request, next)
        },
    ))
}

/// Numbers every request, for the log and for the reply.
pub(super) fn number(routes: Router, counts: &Arc<Counts>) -> Router {
    let counts = Arc::clone(counts);
    routes.layer(from_fn_with_state(
        counts,
        async |State(counts): State<Arc<Counts>>, request: Request, next: Next| {
            let id = REQUESTS.fetch_add(1, Ordering::Relaxed);
            let span = tracing::info_span!(
                "request",
                id = format_args!("{id:x}"),
                method = %request.method(),
                path = request.uri().path(),
            );
            let answer = CURRENT_REQUEST.scope(id, next.run(request));
            let mut response = tracing::Instrument::instrument(answer, span.clone()).await;
            counts.note_answer(response.status());
            let status = response.status().as_u16();
            span.in_scope(|| tracing::debug!(status, "answered"));
            if let Ok(value) = HeaderValue::from_str(&format!("{id:x}")) {
                response.headers_mut().insert(REQUEST_ID, value);
            }
            response
        },
    ))
}

async fn admit(app: Arc<App>, need: Need, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    match identify(&app, request.headers(), peer, need) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

fn identify(app: &App, headers: &HeaderMap, peer: Option<Peer>, need: Need) -> ApiResult<Caller> {
    let ip = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.address.ip());
    let unauthenticated = |error: AuthError| {
        if error != AuthError::Missing && is_one_of_many(app, ip) {
            return too_many();
        }
        ApiError::new(ErrorCode::Unauthenticated, error.to_string()).hint(match error {
            AuthError::Missing => {
                "set SCITQ_TOKEN or SCITQ_TOKEN_FILE; `scitq manage token create` makes one"
            }
            _ => "`scitq manage token create` makes a new one",
        })
    };
    let header = match headers.get(AUTHORIZATION).map(HeaderValue::to_str) {
        None => None,
        Some(Ok(text)) => Some(text),
        Some(Err(_)) => return Err(unauthenticated(AuthError::Malformed)),
    };
    let is_exposed = peer.is_none_or(|peer| peer.privacy == Privacy::Exposed);
    if header.is_some() && is_exposed && app.plain_tokens == PlainTokens::OfThisMachine {
        return Err(exposed(app));
    }
    let now = app.clock.now().wall;
    let principal =
        app.tokens.authenticate(&app.trust, header, ip, now).map_err(unauthenticated)?;
    if !allows(principal.role, need) {
        let role = principal.role;
        return Err(ApiError::new(
            ErrorCode::Forbidden,
            format!("a token with the role `{role}` may not do this"),
        ));
    }
    let name = principal.name.as_str().into();
    Ok(Caller { principal, name })
}

/// Counts a wrong token, and says whether too many came from there.
fn is_one_of_many(app: &App, address: IpAddr) -> bool {
    app.counts.wrong_tokens.fetch_add(1, Ordering::Relaxed);
    let judgement = app.failures.note(address, app.clock.now().monotonic);
    if judgement == Judgement::Begin {
        tracing::warn!(%address, "too many wrong tokens came from there within a minute");
    }
    judgement != Judgement::Tell
}

fn too_many() -> ApiError {
    ApiError::new(ErrorCode::Unauthenticated, "too many wrong tokens came from this address")
        .status(StatusCode::TOO_MANY_REQUESTS)
        .hint("a right token is taken at once; a wrong one is answered again in a minute")
}

/// A token that everybody on the way could read, valid or not.
fn exposed(app: &App) -> ApiError {
    let hint = if app.tls.is_some() {
        "write https:// in front of the server's name, and replace this token"
    } else {
        "start the server with `--tls self`, or reach it by ssh://; with `--insecure` it takes such tokens"
    };
    ApiError::new(
        ErrorCode::Unauthenticated,
        "the token came over the network without encryption, and is not taken",
    )
    .hint(hint)
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> ApiResult<Self> {
        // Every route stands behind the gate; without it nobody is anybody.
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| ApiError::new(ErrorCode::Unauthenticated, "this route has no gate"))
    }
}
