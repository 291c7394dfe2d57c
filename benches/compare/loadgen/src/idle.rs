//! Connections that do nothing, before their first byte or after one call.

use std::io;

use tokio::net::TcpStream;

use crate::load::exchange;
use crate::{Failure, message, runtime, tls, wait_for_line};

enum Held {
    Clear(TcpStream),
    Secret(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

/// Opens them, prints `open`, waits for a line of input, then prints how many were closed meanwhile.
pub fn hold(port: u16, count: usize, calls: bool, ca_file: Option<&str>) -> Result<(), Failure> {
    let call = message::call(port, "/");
    let connector = ca_file.map(|file| tls::connector(file, tls::Manner::default())).transpose()?;
    let runtime = runtime()?;
    let held = runtime.block_on(async {
        let mut held = Vec::with_capacity(count);
        let mut buffer = Vec::with_capacity(4096);
        for _ in 0..count {
            let mut tcp = TcpStream::connect(("127.0.0.1", port)).await?;
            held.push(match &connector {
                None => {
                    if calls {
                        exchange(&mut tcp, &call, &mut buffer).await?;
                    }
                    Held::Clear(tcp)
                }
                Some(connector) => {
                    let mut tls = tls::connect(connector, tcp).await?;
                    if calls {
                        exchange(&mut tls, &call, &mut buffer).await?;
                    }
                    Held::Secret(Box::new(tls))
                }
            });
        }
        io::Result::Ok(held)
    })?;
    println!("{{\"open\":{}}}", held.len());
    wait_for_line()?;
    let lost = runtime.block_on(async { held.iter().filter(|one| one.has_ended()).count() });
    println!("{{\"lost\":{lost}}}");
    Ok(())
}

impl Held {
    /// Whether the other side has closed. What TLS still sends, such as sessions, is no end.
    fn has_ended(&self) -> bool {
        let tcp = match self {
            Self::Clear(tcp) => tcp,
            Self::Secret(tls) => tls.get_ref().0,
        };
        let mut some = [0; 4096];
        match tcp.try_read(&mut some) {
            Ok(count) => count == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}
