//! The floor of the comparison: a relay on the same hyper, rustls and tokio as the gateway, with nothing around them.
//! It has no limits, no time-outs, no log and no second backend, and so is no gateway: what attache costs above it is
//! what attache itself costs. One thread; idle connections to the backend are kept.

mod pool;
mod tls;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;

use http::uri::PathAndQuery;
use http::{Request, Response, Uri, Version, header};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

use pool::{Lent, Pool};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "usage: floor --http PORT --https PORT --backend PORT --cert FILE --key FILE";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("floor: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    if std::env::args().nth(1).as_deref() == Some("--version") {
        println!("floor {}, the gateway's libraries alone", env!("CARGO_PKG_VERSION"));
        return Ok(());
    }
    let mut words = std::env::args().skip(1);
    let mut options = HashMap::new();
    while let (Some(flag), Some(value)) = (words.next(), words.next()) {
        options.insert(flag, value);
    }
    let text = |name: &str| options.get(name).ok_or(USAGE);
    let address = |name| Ok::<_, Failure>(SocketAddr::from(([127, 0, 0, 1], text(name)?.parse()?)));
    let acceptor = tls::acceptor(text("--cert")?, text("--key")?)?;
    let pool = Rc::new(Pool::towards(address("--backend")?));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, async move {
        let clear = TcpListener::bind(address("--http")?).await?;
        let secret = TcpListener::bind(address("--https")?).await?;
        let others = Rc::clone(&pool);
        spawn_local(async move {
            while let Some(tcp) = accepted(&clear).await {
                let pool = Rc::clone(&others);
                spawn_local(async move { serve(tcp, false, &pool).await });
            }
        });
        while let Some(tcp) = accepted(&secret).await {
            let (pool, acceptor) = (Rc::clone(&pool), acceptor.clone());
            spawn_local(async move {
                // A client that leaves during its handshake is its own affair.
                if let Ok(tls) = acceptor.accept(tcp).await {
                    let is_h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
                    serve(tls, is_h2, &pool).await;
                }
            });
        }
        Ok(())
    })
}

async fn accepted(listener: &TcpListener) -> Option<TcpStream> {
    let (tcp, _) = listener.accept().await.ok()?;
    tcp.set_nodelay(true).ok()?;
    Some(tcp)
}

/// Serves one connection to its end, whatever that is.
async fn serve<I: AsyncRead + AsyncWrite + Unpin + 'static>(io: I, is_h2: bool, pool: &Rc<Pool>) {
    let service = service_fn(|request| relay(Rc::clone(pool), request));
    let io = TokioIo::new(io);
    if is_h2 {
        http2::Builder::new(Local).serve_connection(io, service).await.ok();
    } else {
        http1::Builder::new().serve_connection(io, service).await.ok();
    }
}

/// Sends a request on and hands its answer back.
async fn relay(pool: Rc<Pool>, mut request: Request<Incoming>) -> Result<Response<Lent>, Failure> {
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    if let Some(authority) = request.uri().authority() {
        let host = authority.as_str().parse()?;
        request.headers_mut().entry(header::HOST).or_insert(host);
    }
    *request.uri_mut() = Uri::from(path);
    *request.version_mut() = Version::HTTP_11;
    request.headers_mut().remove(header::CONNECTION);
    let mut answer = pool.send(request).await?;
    answer.headers_mut().remove(header::CONNECTION);
    *answer.version_mut() = Version::HTTP_11;
    Ok(answer)
}

/// Runs the streams of an HTTP/2 connection on this thread.
#[derive(Clone, Copy)]
struct Local;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}
