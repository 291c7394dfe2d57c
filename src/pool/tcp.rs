//! Options of a connected socket, on either side of the gateway. The kernel probes a silent peer, and the peer's kernel
//! answers. An HTTP/2 PING would be counted by gRPC servers, and would have to be read by a program that may be busy.

use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;

use crate::config::model::TcpKeepalive;

/// Has the kernel watch over the peer of `stream`.
/// Has at least `patience` with one that takes nothing.
pub fn watch(stream: &TcpStream, keepalive: Option<&TcpKeepalive>, patience: Duration) {
    let Some(keepalive) = keepalive else { return };
    if let Err(error) = set(&SockRef::from(stream), keepalive, patience) {
        // It carries requests all the same.
        tracing::debug!(%error, "no TCP keep-alive on a connection");
    }
}

fn set(socket: &SockRef<'_>, keepalive: &TcpKeepalive, patience: Duration) -> std::io::Result<()> {
    let probing = socket2::TcpKeepalive::new()
        .with_time(keepalive.time)
        .with_interval(keepalive.interval)
        .with_retries(keepalive.probes);
    socket.set_tcp_keepalive(&probing)?;
    // Without it Linux sends bytes that a vanished peer does not acknowledge again for a quarter of an hour.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(keepalive.user_timeout().max(patience)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_kernel_is_told_all_of_it() {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let socket = SockRef::from(&stream);
        watch(&stream, None, Duration::ZERO);
        assert!(!socket.keepalive().unwrap());
        let keepalive = TcpKeepalive { time: Duration::from_secs(7), interval: Duration::from_secs(3), probes: 4 };
        watch(&stream, Some(&keepalive), Duration::from_secs(5));
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(7));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(3));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 4);
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(19)));
        watch(&stream, Some(&keepalive), Duration::from_secs(40));
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(40)), "never less patient");
    }
}
