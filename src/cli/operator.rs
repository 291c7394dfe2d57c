//! Finding the admin API of a running gateway, for the verbs that ask it something.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::admin::client::{Client, Error};
use crate::config::model::AdminAddress;
use crate::config::{Environment, operating};

/// Where the gateway is.
#[derive(Debug, Args)]
pub(super) struct Operator {
    /// Configuration of the running gateway, which says where its admin API is. It may be broken otherwise.
    #[arg(
        short,
        long = "config",
        value_name = "FILE|DIR",
        env = "ATTACHE_CONFIG",
        required_unless_present = "admin"
    )]
    config: Option<PathBuf>,
    /// Where the admin API is, when no configuration says so: 127.0.0.1:9901 or unix:/path.
    #[arg(long, value_name = "ADDRESS", env = "ATTACHE_ADMIN", value_parser = parse)]
    admin: Option<AdminAddress>,
    /// File with the token; see `admin.tokenFile`, which it goes before.
    #[arg(long, value_name = "FILE", env = "ATTACHE_ADMIN_TOKEN_FILE")]
    token_file: Option<PathBuf>,
}

impl Operator {
    /// The API to ask, and what it is called.
    pub(super) fn find(&self) -> Result<(Client, String), Failure> {
        let configured = self
            .config
            .as_deref()
            .and_then(|path| operating(path, &Environment::process()).0);
        let (place, token) = match configured {
            Some(admin) => (Some(admin.address), admin.token_file),
            None => (None, None),
        };
        let Some(place) = self.admin.clone().or(place) else {
            return Err(Failure::new(
                "the configuration has no admin API",
                "add `admin: {}` and restart, name it with --admin, or send SIGHUP",
            ));
        };
        let place = connectable(place);
        let name = place.to_string();
        let token_file = self.token_file.clone().or(token);
        let client = Client::new(place, token_file.as_deref());
        Ok((client.map_err(|error| unreachable(&error, &name))?, name))
    }
}

/// What to do when there is no answer.
pub(super) fn unreachable(error: &Error, name: &str) -> Failure {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    let next = match error {
        Error::Token(..) => "name a readable file with --token-file or ATTACHE_ADMIN_TOKEN_FILE",
        Error::Timeout(_) => "read the gateway's log; a reload may still be under way",
        Error::Connect(..) | Error::Http(_) | Error::Body(_) => {
            "is the gateway running, and is its admin API where --admin or the configuration says?"
        }
    };
    Failure::new(
        format_args!("{name}: {error}{}", cause.unwrap_or_default()),
        next,
    )
}

/// Who listens everywhere is reached on this machine.
fn connectable(place: AdminAddress) -> AdminAddress {
    match place {
        AdminAddress::Tcp(address) if address.ip().is_unspecified() => {
            let local = if address.is_ipv4() {
                [127, 0, 0, 1].into()
            } else {
                std::net::Ipv6Addr::LOCALHOST.into()
            };
            AdminAddress::Tcp(SocketAddr::new(local, address.port()))
        }
        other => other,
    }
}

fn parse(text: &str) -> Result<AdminAddress, String> {
    let text = text.strip_prefix("http://").unwrap_or(text);
    AdminAddress::parse(text)
}
