//! The page for a scrape, and those for kubelet's probes.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::health::Health;
use super::life::over;
use super::{LiveAgent, metrics};

/// So many at once; others wait.
const MOST: usize = 16;
/// A connection is for one request.
const WITHIN: Duration = Duration::from_secs(5);
/// The type of OpenMetrics 1.0.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Takes the address.
pub(super) async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Answers until the end.
pub(super) async fn serve(
    listener: TcpListener,
    agent: &LiveAgent,
    health: &Arc<Health>,
    stopped: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(MOST));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = over(stopped.clone()) => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let (agent, health) = (agent.clone(), Arc::clone(health));
        connections.spawn(async move {
            let answer = service_fn(move |request| {
                let answer = answer(&request, &agent, &health);
                async move { Ok::<_, Infallible>(answer) }
            });
            let served = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), answer);
            let _ = tokio::time::timeout(WITHIN, served).await;
            drop(place);
        });
    }
}

fn answer(request: &Request<Incoming>, agent: &LiveAgent, health: &Health) -> Response<String> {
    let plain = |status: StatusCode, text: &str| {
        let mut response = Response::new(format!("{text}\n"));
        *response.status_mut() = status;
        response
    };
    if request.method() != Method::GET {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET");
    }
    match request.uri().path() {
        "/metrics" => {
            let quarantines = agent.engine().ledger().quarantines.len();
            let mut response = Response::new(metrics::text(&agent.status(), quarantines));
            let kind = hyper::header::HeaderValue::from_static(OPENMETRICS);
            response.headers_mut().insert(hyper::header::CONTENT_TYPE, kind);
            response
        }
        // Whoever answers this lives, also while it starts: there is one thread for all that does not wait for the node.
        "/healthz" => plain(StatusCode::OK, "ok"),
        "/readyz" => match health.unready() {
            Some(why) => plain(StatusCode::SERVICE_UNAVAILABLE, &why),
            None => plain(StatusCode::OK, "ok"),
        },
        _ => plain(StatusCode::NOT_FOUND, "there are /metrics, /healthz and /readyz"),
    }
}
