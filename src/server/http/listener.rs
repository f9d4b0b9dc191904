//! The accept loop: HTTP/1.1 with upgrades on one port, plain or within TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::{Resource, getrlimit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;

use super::App;
use super::error::HangUp;
use super::gate::{Peer, Privacy};
use super::openapi::router;

/// The first byte of TLS, with which no request in plain begins (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;
/// How long a client may take to send the head of a request, and to agree on TLS.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// The longest head of a request, bytes.
const MAX_HEAD: usize = 64 << 10;
/// Open files that are left for all else than connections.
const OTHER_FILES: u64 = 256;
/// Connections at least, however few files may be open.
const FEWEST: u64 = 64;
/// How long requests under way may take when the server stops.
const STOP_WITHIN: Duration = Duration::from_millis(400);
/// Wait before the next try when no connection can be accepted (too many open files).
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// Answers requests until the server stops.
pub async fn serve(listener: TcpListener, app: Arc<App>) {
    let router = router(&app);
    let mut connections = JoinSet::new();
    let places = Arc::new(Semaphore::new(most_connections()));
    loop {
        let accepted = tokio::select! {
            // Whoever finds no place waits, and the disk's files are not used up.
            accepted = accept(&listener, &places) => accepted,
            () = app.stop_asked() => break,
        };
        match accepted {
            Ok((stream, address, place)) => {
                let (router, app) = (router.clone(), Arc::clone(&app));
                connections.spawn(async move {
                    connection(stream, address, router, app).await;
                    drop(place);
                });
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

/// The next connection, and its place among those that there may be.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, address) = listener.accept().await?;
    Ok((stream, address, place))
}

fn most_connections() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let most = files.saturating_sub(OTHER_FILES).max(FEWEST);
    usize::try_from(most).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)
}

async fn connection(stream: TcpStream, address: SocketAddr, router: axum::Router, app: Arc<App>) {
    // Replies are written whole: waiting to fill a packet would only cost time.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let Some(tls) = &app.tls else {
        let peer = Peer { address, privacy: privacy(&stream, address) };
        return converse(stream, peer, router, app).await;
    };
    let opened = async {
        let mut first = [0];
        stream.peek(&mut first).await?;
        if first[0] == HANDSHAKE {
            return Ok(Opened::Encrypted(Box::new(tls.accept(stream).await?)));
        }
        io::Result::Ok(Opened::Plain(stream))
    };
    let opened = tokio::select! {
        opened = tokio::time::timeout(HEAD_WITHIN, opened) => opened,
        () = app.stop_asked() => return,
    };
    match opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(Opened::Encrypted(stream)) => {
            converse(stream, Peer { address, privacy: Privacy::Private }, router, app).await;
        }
        Ok(Opened::Plain(stream)) => {
            let peer = Peer { address, privacy: privacy(&stream, address) };
            converse(stream, peer, router, app).await;
        }
        Err(error) => tracing::debug!(%error, %address, "no connection came about"),
    }
}

/// A connection of which the first byte is known.
enum Opened {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

/// What comes from this machine itself is seen by nobody on the way.
fn privacy(stream: &TcpStream, peer: SocketAddr) -> Privacy {
    let peer = peer.ip().to_canonical();
    let is_own = || stream.local_addr().is_ok_and(|own| own.ip().to_canonical() == peer);
    if peer.is_loopback() || is_own() { Privacy::Private } else { Privacy::Exposed }
}

async fn converse<S>(stream: S, peer: Peer, router: axum::Router, app: Arc<App>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(ConnectInfo(peer.address));
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
        .max_buf_size(MAX_HEAD)
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
        tracing::debug!(%error, address = %peer.address, "connection ended");
    }
}
