//! Binding the admin listener.

use std::io;

use tokio::net::TcpListener;

use super::Error;
use crate::admin::socket::{OwnFile, Socket, UnixSocket};
use crate::config::model::{Admin, AdminAddress};

/// The socket and where it is, which says more than the setting when that leaves the port to the kernel.
pub(super) async fn bind(settings: Option<&Admin>) -> Result<(Option<Socket>, Option<AdminAddress>), Error> {
    let Some(settings) = settings else {
        return Ok((None, None));
    };
    let failed = |source: io::Error| Error::Admin { address: settings.address.clone(), source };
    match &settings.address {
        AdminAddress::Tcp(address) => {
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            let bound = listener.local_addr().map_err(failed)?;
            Ok((Some(Socket::Tcp(listener)), Some(AdminAddress::Tcp(bound))))
        }
        AdminAddress::Unix(path) => {
            let for_others = settings.token_file.is_some();
            let socket = UnixSocket::bind(path, for_others).map_err(failed)?;
            Ok((Some(Socket::Unix(socket)), Some(settings.address.clone())))
        }
    }
}

/// The file of a unix socket.
pub(super) fn file(socket: Option<&Socket>) -> Option<OwnFile> {
    match socket? {
        Socket::Tcp(_) => None,
        Socket::Unix(socket) => Some(socket.file()),
    }
}

/// Sets who may connect to a unix socket by the configuration in force. The token then decides who gets an answer.
pub(super) fn follow(file: Option<&OwnFile>, settings: Option<&Admin>) {
    let (Some(file), Some(settings)) = (file, settings) else {
        return;
    };
    if let Err(error) = file.open_to_others(settings.token_file.is_some()) {
        tracing::error!(socket = %file.path().display(), %error, "the mode of the admin socket cannot be set");
    }
}
