//! Finding the admin API of a running gateway, for the verbs that ask it something.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Args, FromArgMatches};

use super::configuration::{by_hand, usual};
use super::{Failure, terminal};
use crate::admin::client::{Client, Error};
use crate::config::model::{Admin, AdminAddress};
use crate::config::{self, Environment, Report};

/// The address of the gateway. Options on the command line override environment variables.
#[derive(Debug)]
pub(super) struct Operator {
    named: Named,
    /// Whether the configuration was named by hand.
    by_config: bool,
    /// Whether the API was.
    by_address: bool,
}

#[derive(Debug, Args)]
struct Named {
    /// Configuration of the running gateway, which says where its admin API is. It may be broken otherwise.
    /// [default: attache.yaml here, else the directory /etc/attache]
    #[arg(short, long = "config", value_name = "FILE|DIR", env = "ATTACHE_CONFIG")]
    config: Option<PathBuf>,
    /// Where the admin API is, whatever the configuration says: 127.0.0.1:9901 or unix:/path.
    #[arg(long, value_name = "ADDRESS", env = "ATTACHE_ADMIN", value_parser = parse)]
    admin: Option<AdminAddress>,
    /// File with the token. It is used instead of `admin.tokenFile` of the configuration.
    #[arg(long, value_name = "FILE", env = "ATTACHE_ADMIN_TOKEN_FILE")]
    token_file: Option<PathBuf>,
}

impl FromArgMatches for Operator {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut named = Named::from_arg_matches(matches)?;
        let is_file_named = matches.try_get_one::<PathBuf>(FILE).is_ok_and(|file| file.is_some());
        if named.config.is_none() && named.admin.is_none() && !is_file_named {
            named.config = Some(usual("name one with -c, or the admin API with --admin")?);
        }
        Ok(Self { named, by_config: by_hand(matches, "config"), by_address: by_hand(matches, "admin") })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Operator {
    fn augment_args(command: clap::Command) -> clap::Command {
        Named::augment_args(command)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Named::augment_args_for_update(command)
    }
}

/// The same for verbs with no other argument, which take the configuration without `-c` too.
#[derive(Debug)]
pub(super) struct ByFile(Operator);

impl FromArgMatches for ByFile {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut operator = Operator::from_arg_matches(matches)?;
        if let Some(file) = matches.get_one::<PathBuf>(FILE) {
            if operator.by_config {
                return Err(clap::Error::raw(
                    ErrorKind::ArgumentConflict,
                    "the configuration is named twice, with -c and without\n",
                ));
            }
            operator.named.config = Some(file.clone());
            operator.by_config = true;
        }
        Ok(Self(operator))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for ByFile {
    fn augment_args(command: clap::Command) -> clap::Command {
        let file = Arg::new(FILE)
            .value_name("FILE|DIR")
            .value_parser(clap::value_parser!(PathBuf))
            .help("The same without -c");
        Named::augment_args(command).arg(file)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl std::ops::Deref for ByFile {
    type Target = Operator;
    fn deref(&self) -> &Operator {
        &self.0
    }
}

/// Name of the argument without a flag.
const FILE: &str = "file";

impl Operator {
    /// The API to ask, and what it is called.
    pub(super) fn find(&self) -> Result<(Client, String), Failure> {
        // A variable must not lead away from the configuration that somebody named.
        let outdone = self.by_config && !self.by_address;
        let named = self.named.admin.clone().filter(|_| !outdone);
        let (place, token) = match self.configured()? {
            Some(admin) => (Some(admin.address), admin.token_file),
            None => (None, None),
        };
        let Some(place) = named.or(place) else {
            return Err(Failure::new(
                "the configuration has no admin API",
                "add `admin: {}` and restart, name it with --admin, or send SIGHUP",
            ));
        };
        let place = connectable(place);
        let name = place.to_string();
        let token_file = self.named.token_file.clone().or(token);
        let client = Client::new(place, token_file.as_deref());
        Ok((client.map_err(|error| unreachable(&error, &name))?, name))
    }

    /// The address in the configuration. When the API is named on the command line, a configuration that only the
    /// environment names may leave it out.
    fn configured(&self) -> Result<Option<Admin>, Failure> {
        let Some(path) = &self.named.config else {
            return Ok(None);
        };
        match config::admin(path, &Environment::process()) {
            Err(_) if self.by_address && !self.by_config => Ok(None),
            found => found.map_err(|report| silent(path, &report, "admin API", "--admin")),
        }
    }
}

/// A configuration that does not say where something is. One that cannot be read says nothing at all.
pub(super) fn silent(path: &Path, report: &Report, what: &str, flag: &str) -> Failure {
    let next = format!("name the configuration of the running gateway, or its {what} with {flag}");
    if let [only] = report.diagnostics()
        && only.code == "missing-file"
        && only.hint.is_none()
        && report.place(only).is_none()
    {
        return Failure::new(&only.message, next);
    }
    terminal::note(report.human(terminal::has_color()).trim_end());
    Failure::new(format_args!("{} does not say where the {what} is", path.display()), next)
}

/// What to do when there is no answer.
pub(super) fn unreachable(error: &Error, name: &str) -> Failure {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    let next = match error {
        Error::Token(..) => "name a readable file with --token-file or ATTACHE_ADMIN_TOKEN_FILE",
        Error::Timeout(_) => "read the gateway's log; a reload may still be under way",
        Error::Connect(..) | Error::Http(_) | Error::TooLarge | Error::Path(_) => {
            "is the gateway running, and is its admin API where --admin or the configuration says?"
        }
    };
    Failure::new(format_args!("{name}: {error}{}", cause.unwrap_or_default()), next)
}

fn connectable(place: AdminAddress) -> AdminAddress {
    match place {
        AdminAddress::Tcp(address) => AdminAddress::Tcp(nearest(address)),
        socket @ AdminAddress::Unix(_) => socket,
    }
}

/// A listener on all addresses is reached on this machine.
pub(super) fn nearest(address: SocketAddr) -> SocketAddr {
    let local: IpAddr = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(local, address.port())
}

fn parse(text: &str) -> Result<AdminAddress, String> {
    let text = text.strip_prefix("http://").unwrap_or(text);
    AdminAddress::parse(text)
}
