//! How the configuration is replaced while the gateway runs, and who may ask for it.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Taking a changed configuration while running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// Whether files are watched at all. Default true.
    pub watch: bool,
    /// How long a change has to be quiet. Default 250 ms; zero takes it at once.
    pub debounce: Duration,
    /// Time between two looks at the files' content. Default 30 s; `None` relies on the watch alone.
    pub poll: Option<Duration>,
    /// Where a good configuration is kept.
    pub last_good_file: Option<PathBuf>,
}

/// What readiness depends on beside the gateway itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Whether every cluster must have a usable endpoint. Default false.
    pub requires_clusters: bool,
}

/// The admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where it is.
    pub address: AdminAddress,
    /// File with the token; present when the address is not local.
    pub token_file: Option<PathBuf>,
    /// What may be changed through it. Default [`Writes::Rollouts`].
    pub writes: Writes,
}

impl Default for Admin {
    /// What `admin: {}` means.
    fn default() -> Self {
        Self {
            address: AdminAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 9901))),
            token_file: None,
            writes: Writes::Rollouts,
        }
    }
}

/// Where an admin listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// An IP address and port.
    Tcp(SocketAddr),
    /// A unix socket at an absolute path.
    Unix(PathBuf),
}

/// What may be changed through the admin listener; each allows what the one before does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Writes {
    /// Nothing.
    None,
    /// Reloads and rollouts.
    Rollouts,
    /// Everything.
    All,
}

impl AdminAddress {
    /// Reads `127.0.0.1:9901` or `unix:/path`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix("unix:") else {
            let address = text.parse().map(Self::Tcp);
            return address.map_err(|_error| format!("`{text}` is not an IP address and port"));
        };
        let path = path.strip_prefix("//").unwrap_or(path);
        // The kernel's limit, with its final zero.
        if path.starts_with('/') && path.len() < 108 {
            Ok(Self::Unix(PathBuf::from(path)))
        } else {
            Err(format!("`{text}` does not name a socket by a path of at most 107 bytes"))
        }
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
