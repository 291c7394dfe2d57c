//! The listener a URL leads to. The URL is the client's, so public addresses come before sockets.

use super::Failure;
use super::request::Request;
use crate::config::model::{Config, Listener, ListenerId, PublicUrl, Scheme};

/// How a request comes in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'c> {
    pub(super) listener: &'c Listener,
    /// The listener whose routes serve it; `None` when it is redirected to HTTPS.
    pub(super) served: Option<ListenerId>,
    /// The prefix that a proxy in front removes from the path.
    pub(super) stripped: &'c str,
}

/// The way in for `request`, or through the listener called `wanted`.
pub(super) fn entry<'c>(config: &'c Config, request: &Request, wanted: Option<&str>) -> Result<Entry<'c>, Failure> {
    if let Some(name) = wanted {
        let found = all(config).find(|(_, listener)| listener.name == name);
        return found.map(|(id, listener)| through(config, id, listener, request)).ok_or_else(|| {
            let names = all(config).map(|(_, listener)| listener.name.as_str());
            let names: Vec<_> = names.collect();
            Failure::new(
                format_args!("there is no listener `{name}`"),
                format_args!("use one of: {}", names.join(", ")),
            )
        });
    }
    let host = request.host()?;
    let by_url = || all(config).find(|(_, listener)| is_at(listener, request, Some(&host)));
    let by_route = || {
        let mut routes = config.routes.iter();
        let route = routes.find(|route| {
            let url = route.public_url.as_deref();
            url.is_some_and(|url| is_of(url, request, Some(&host)))
        })?;
        let id = *route.listeners.first()?;
        Some((id, config.listeners.get(id.0)?))
    };
    let by_port = || all(config).find(|(_, listener)| is_at(listener, request, None));
    let by_socket =
        || all(config).find(|(_, listener)| speaks(listener, request) && listener.address.port() == request.port);
    // The usual port in front of the gateway (a load balancer, a container's mapping) differs from the listener's; one
    // that is written in the URL is meant.
    let by_scheme = || {
        all(config).find(|(_, listener)| {
            let may_be_there = !request.names_port || listener.address.port() == 0;
            may_be_there && speaks(listener, request)
        })
    };
    let by_proxy = || {
        let trusts = !config.client_ip.trusted_proxies.is_empty();
        all(config).find(|_| trusts && request.is_tls && !request.names_port)
    };
    let found = by_url().or_else(by_route).or_else(by_port).or_else(by_socket).or_else(by_scheme).or_else(by_proxy);
    let (id, listener) = found.ok_or_else(|| nowhere(config, request))?;
    Ok(through(config, id, listener, request))
}

/// No listener is where the URL says.
fn nowhere(config: &Config, request: &Request) -> Failure {
    let scheme = Scheme::of_tls(request.is_tls);
    let places: Vec<_> = all(config).map(|(_, listener)| format!("{} ({})", listener.name, listener.address)).collect();
    let places = places.join(", ");
    if request.names_port && all(config).any(|(_, listener)| speaks(listener, request)) {
        return Failure::new(
            format_args!("no listener speaks {scheme} on port {}", request.port),
            format_args!("correct the port, or pass --listener where another one stands for it; there are: {places}"),
        );
    }
    Failure::new(
        format_args!("no listener speaks {scheme}"),
        format_args!(
            "change the URL's scheme or pass --listener with one of: {places}; where a balancer ends TLS, `publicUrl` says so"
        ),
    )
}

fn all(config: &Config) -> impl Iterator<Item = (ListenerId, &Listener)> {
    let listeners = config.listeners.iter().enumerate();
    listeners.map(|(at, listener)| (ListenerId(at), listener))
}

fn through<'c>(config: &'c Config, id: ListenerId, listener: &'c Listener, request: &Request) -> Entry<'c> {
    let served = match &listener.https_redirect {
        None => Some(id),
        // On HTTPS there only by the word of a proxy.
        Some(redirect) => request.is_tls.then_some(redirect.serves),
    };
    let routes = config.routes.iter();
    let urls = routes.filter_map(|route| route.public_url.as_deref());
    let host = request.host().unwrap_or_default();
    let url = urls
        .chain(listener.public_url.as_deref())
        .find(|url| is_of(url, request, Some(&host)) && request.is_below(url.prefix()));
    Entry { listener, served, stripped: url.map_or("", PublicUrl::prefix) }
}

/// Whether clients see the listener where the URL says.
fn is_at(listener: &Listener, request: &Request, host: Option<&str>) -> bool {
    let url = listener.public_url.as_deref();
    listener.https_redirect.is_none() && url.is_some_and(|url| is_of(url, request, host))
}

fn is_of(url: &PublicUrl, request: &Request, host: Option<&str>) -> bool {
    url.scheme() == Scheme::of_tls(request.is_tls)
        && url.port() == request.port
        && host.is_none_or(|host| url.host() == host)
}

/// Whether clients speak the URL's scheme to the listener.
fn speaks(listener: &Listener, request: &Request) -> bool {
    let scheme = match &listener.public_url {
        Some(url) if listener.https_redirect.is_none() => url.scheme(),
        _ => Scheme::of_tls(listener.tls.is_some()),
    };
    scheme == Scheme::of_tls(request.is_tls)
}
