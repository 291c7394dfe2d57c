//! Whose the request to explain is said to be. What stands on a command line can be read by others, so credentials do
//! not stand there but in files.

use std::fs;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use super::Failure;
use crate::context::ClientCertificate;
use crate::pem;
use crate::policy::auth::{Credential, Presented};
use crate::route::Facts;

/// Reads what `--as` says: `token:FILE`, `key:FILE` or `cert:FILE`; the file `-` is standard input.
pub(super) fn read(given: &str) -> Result<Credential, Failure> {
    let Some((kind, file)) = given.split_once(':') else {
        return Err(Failure::new(format_args!("`--as {given}` does not say what it is"), FORMS));
    };
    let text = || {
        text(file)
            .map_err(|error| Failure::new(format_args!("`{file}` cannot be read: {error}"), "name a file, or `-`"))
    };
    match kind {
        "token" => Ok(Credential::Token(text()?.trim().to_owned())),
        "key" => Ok(Credential::Key(text()?.trim().to_owned())),
        "cert" => {
            let chain = pem::certificates(text()?.as_bytes()).unwrap_or_default();
            let names = chain.first().and_then(|leaf| ClientCertificate::read(leaf));
            let none = || Failure::new(format_args!("`{file}` holds no certificate"), "name a file in PEM");
            Ok(Credential::Certificate(Arc::new(names.ok_or_else(none)?)))
        }
        _ => Err(Failure::new(format_args!("`{kind}` is no kind of credential"), FORMS)),
    }
}

fn text(file: &str) -> io::Result<String> {
    let mut text = String::new();
    if file == "-" {
        io::stdin().lock().take(MAX_FILE).read_to_string(&mut text)?;
    } else {
        fs::File::open(file)?.take(MAX_FILE).read_to_string(&mut text)?;
    }
    Ok(text)
}

/// What the request presents by itself, now and over HTTPS.
pub(super) fn presented<'a>(facts: &Facts<'a>, client: Option<IpAddr>) -> Presented<'a> {
    Presented {
        method: facts.method,
        authority: facts.host,
        path: facts.path,
        query: facts.query,
        headers: facts.headers,
        tls: None,
        client: client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        https: true,
        time: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
        now: Instant::now(),
    }
}

/// Bytes of a file with a credential.
const MAX_FILE: u64 = 1 << 20;
const FORMS: &str = "write `--as token:FILE`, `--as key:FILE` or `--as cert:FILE`, with `-` for standard input";
