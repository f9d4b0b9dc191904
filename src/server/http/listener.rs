//! The accept loop: HTTP/1.1 with upgrades on one port.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower::ServiceExt;

use super::App;
use super::error::HangUp;
use super::openapi::router;

/// How long a client may take to send the head of a request.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// How long requests under way may take when the server stops.
const STOP_WITHIN: Duration = Duration::from_millis(400);
/// Wait before the next try when no connection can be accepted (too many open files).
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// Answers requests until the server stops.
pub async fn serve(listener: TcpListener, app: Arc<App>) {
    let router = router(&app);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = app.stop_asked() => break,
        };
        match accepted {
            Ok((stream, address)) => {
                let (router, app) = (router.clone(), Arc::clone(&app));
                connections.spawn(connection(stream, address, router, app));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_WITHIN, all).await.is_err() {
        tracing::info!("requests under way are cut off");
    }
}

async fn connection(stream: TcpStream, address: SocketAddr, router: axum::Router, app: Arc<App>) {
    // Replies are written whole: waiting to fill a packet would only cost time.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(address));
        let answer = router.clone().oneshot(request.map(axum::body::Body::new));
        async move {
            let Ok(response) = answer.await;
            match response.extensions().get::<HangUp>() {
                Some(HangUp) => Err(io::Error::other("the reply is withheld")),
                None => Ok(response),
            }
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = app.stop_asked() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %address, "connection ended");
    }
}
