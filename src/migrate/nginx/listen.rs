//! `listen` with its certificates and time limits: listeners.

use std::collections::{HashMap, HashSet};

use super::Levels;
use crate::migrate::client_auth::{Demand, Demands};
use crate::migrate::directive::Directive;
use crate::migrate::model::{Draft, Kind, Origin, Part, Section, TooLarge, Value};
use crate::migrate::note::Note;
use crate::migrate::words;

/// The listeners of all servers.
#[derive(Default)]
pub(super) struct Listeners {
    by_address: HashMap<String, usize>,
    all: Vec<Listener>,
}

struct Listener {
    part: Part,
    is_tls: bool,
    /// Certificates and keys that are there already.
    certificates: HashSet<(String, String)>,
    /// What its servers ask of their clients.
    demands: Demands,
}

/// One address a server listens on.
#[derive(Clone)]
pub(super) struct Entrance {
    index: usize,
    /// What servers of the same address have in common.
    pub(super) key: String,
    pub(super) name: String,
    pub(super) is_tls: bool,
}

impl Listeners {
    /// The listeners of a server, which are made where no other server had them.
    pub(super) fn of_server(
        &mut self,
        server: &Directive,
        levels: &Levels<'_, '_>,
        draft: &mut Draft,
    ) -> Vec<Entrance> {
        let mut found: Vec<Entrance> = Vec::new();
        let listens = levels.block.named("listen");
        for listen in listens {
            let Some(entrance) = self.listen(listen.mark(), levels, draft) else { continue };
            if !found.iter().any(|other| other.index == entrance.index) {
                found.push(entrance);
            }
        }
        if listens.is_empty() {
            let origin = Origin::new(0, "nginx listens on port 80 where nothing is written");
            found.push(self.at("0.0.0.0:80", false, &origin, draft));
        }
        for entrance in &found {
            self.settings(entrance, server, levels, draft);
        }
        found
    }

    fn listen(&mut self, listen: &Directive, levels: &Levels<'_, '_>, draft: &mut Draft) -> Option<Entrance> {
        let Some(address) = address(listen) else {
            let text = format!("{}: listeners have an IP address and a port", listen.shown());
            draft.note(Note::dropped(listen.place.line, text));
            return None;
        };
        let is_tls = listen.has_argument("ssl") || levels.last("ssl").is_some_and(|ssl| ssl.argument(0) == "on");
        let entrance = self.at(&address, is_tls, &listen.origin(), draft);
        let listener = self.all.get_mut(entrance.index)?;
        for argument in listen.arguments.iter().skip(1) {
            match argument.as_str() {
                "ssl" | "default_server" | "default" | "ipv6only=on" | "reuseport" | "deferred" => {}
                "http2" => listener.speaks_h2(&listen.origin()),
                "proxy_protocol" => listener.proxy_protocol(listen, levels),
                _ => {
                    let text = format!("listen .. {argument}: attache decides this by itself");
                    listener.part.notes.push(Note::dropped(listen.place.line, text));
                }
            }
        }
        Some(entrance)
    }

    fn at(&mut self, address: &str, is_tls: bool, origin: &Origin, draft: &mut Draft) -> Entrance {
        let (host, port) = address.rsplit_once(':').unwrap_or((address, "80"));
        let key = key(address);
        let index = *self.by_address.entry(key.clone()).or_insert_with(|| {
            let wanted = match (is_tls, port) {
                (true, "443") => "https".to_owned(),
                (false, "80") => "http".to_owned(),
                (true, _) => format!("https-{port}"),
                (false, _) => format!("http-{port}"),
            };
            let mut part = Part::new(draft.name(Kind::Listener, &wanted), Origin::default());
            part.put(&["address"], Value::text(address), origin);
            self.all.push(Listener { part, is_tls, certificates: HashSet::new(), demands: Demands::default() });
            self.all.len() - 1
        });
        let mut entrance = Entrance { index, key, name: String::new(), is_tls };
        if let Some(listener) = self.all.get_mut(index) {
            listener.is_tls |= is_tls;
            entrance.name.clone_from(&listener.part.name);
            entrance.is_tls = listener.is_tls;
            if host == "[::]" {
                listener.part.put(&["address"], Value::text(address), origin);
            }
        }
        entrance
    }

    /// What a server says of its connections, which are the listener's here.
    fn settings(&mut self, entrance: &Entrance, server: &Directive, levels: &Levels<'_, '_>, draft: &mut Draft) {
        let Some(listener) = self.all.get_mut(entrance.index) else { return };
        for (name, key) in [
            ("client_header_timeout", "headerTimeout"),
            ("client_body_timeout", "bodyIdleTimeout"),
            ("send_timeout", "bodyIdleTimeout"),
            ("keepalive_timeout", "idleTimeout"),
        ] {
            let Some(directive) = levels.last(name) else { continue };
            let Some(time) = words::time(directive.argument(0), 1_000).filter(|time| time != "0s") else {
                draft.note(Note::dropped(directive.place.line, format!("{}: no such time", directive.shown())));
                continue;
            };
            listener.limit(key, &time, directive);
        }
        if let Some(buffers) = levels.last("large_client_header_buffers")
            && let (Ok(number), Some(size)) = (buffers.argument(0).parse::<u64>(), words::size(buffers.argument(1)))
        {
            let digits = size.trim_end_matches(|c: char| !c.is_ascii_digit());
            let unit = size.trim_start_matches(|c: char| c.is_ascii_digit());
            let total = digits.parse::<u64>().unwrap_or(0).saturating_mul(number);
            listener.limit("maxHeaderBytes", &format!("{total}{unit}"), buffers);
        }
        if listener.is_tls && entrance.is_tls {
            listener.tls(server, levels);
        }
        if let Some(http2) = levels.last("http2").filter(|http2| http2.argument(0) == "on") {
            listener.speaks_h2(&http2.origin());
        }
    }

    /// What is said about a listener by a directive of a route.
    pub(super) fn limit(&mut self, entrances: &[Entrance], key: &str, time: &str, directive: &Directive) {
        for entrance in entrances {
            if let Some(listener) = self.all.get_mut(entrance.index) {
                listener.limit(key, time, directive);
            }
        }
    }

    /// Redirects all that comes in without TLS.
    pub(super) fn redirect(&mut self, entrance: &Entrance, status: &str, origin: &Origin) {
        if let Some(listener) = self.all.get_mut(entrance.index) {
            let value = Value::Map(Section::of("status", Value::plain(status)));
            listener.part.put(&["httpsRedirect"], value, origin);
        }
    }

    pub(super) fn finish(self, draft: &mut Draft) -> Result<(), TooLarge> {
        for mut listener in self.all {
            listener.demands.put(&mut listener.part);
            if listener.is_tls && !listener.part.has(&["tls", "certificates"]) {
                let text = "ssl without a certificate that is known here: add `tls.certificates`";
                listener.part.notes.push(Note::danger(listener.part.origin.line, text));
            }
            draft.add(Kind::Listener, listener.part)?;
        }
        Ok(())
    }
}

impl Listener {
    fn limit(&mut self, key: &str, value: &str, directive: &Directive) {
        let is_same = self.part.settings.put_new(&["limits", key], Value::plain(value), &directive.origin());
        if !is_same {
            let text = format!("{}: `limits.{key}` is the listener's here, and is set already", directive.shown());
            self.part.notes.push(Note::changed(directive.place.line, text));
        }
    }

    fn speaks_h2(&mut self, origin: &Origin) {
        let protocols = ["h2", "http/1.1"].map(Value::plain).map(crate::migrate::model::Item::of);
        self.part.settings.put_new(&["protocols"], Value::List(protocols.into()), origin);
    }

    fn proxy_protocol(&mut self, listen: &Directive, levels: &Levels<'_, '_>) {
        let trusted: Vec<&str> = levels.all("set_real_ip_from").iter().map(|from| from.argument(0)).collect();
        let line = listen.place.line;
        if trusted.is_empty() {
            let text = "listen .. proxy_protocol: nginx believes every peer; name yours in the place of these networks";
            self.part.notes.push(Note::danger(line, text));
        }
        let trusted = if trusted.is_empty() { vec!["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"] } else { trusted };
        self.part.put(&["proxyProtocol", "trusted"], Value::texts(trusted), &listen.origin());
    }

    fn tls(&mut self, server: &Directive, levels: &Levels<'_, '_>) {
        let keys = levels.all("ssl_certificate_key");
        for (certificate, key) in levels.all("ssl_certificate").iter().zip(keys) {
            let pair = Section::of("certFile", Value::text(certificate.argument(0)))
                .with("keyFile", Value::text(key.argument(0)));
            if self.certificates.insert((certificate.argument(0).to_owned(), key.argument(0).to_owned())) {
                self.part.settings.push(&["tls", "certificates"], Value::Map(pair), &certificate.origin());
            }
        }
        if let Some(protocols) = levels.last("ssl_protocols") {
            self.min_version(protocols);
        }
        let demand = self.client_auth(levels);
        self.demands.add(demand, &server.origin());
    }

    fn min_version(&mut self, protocols: &Directive) {
        let old = protocols.arguments.iter().filter(|one| !matches!(one.as_str(), "TLSv1.2" | "TLSv1.3"));
        let old: Vec<&str> = old.map(String::as_str).collect();
        if !old.is_empty() {
            let text = format!("ssl_protocols {}: broken versions are not spoken here", old.join(" "));
            self.part.notes.push(Note::danger(protocols.place.line, text));
        }
        let is_new = !protocols.has_argument("TLSv1.2") && old.is_empty();
        let version = Value::text(if is_new { "1.3" } else { "1.2" });
        self.part.settings.put_new(&["tls", "minVersion"], version, &protocols.origin());
    }

    /// What a server asks of its clients.
    fn client_auth(&mut self, levels: &Levels<'_, '_>) -> Option<Demand> {
        let verify = levels.last("ssl_verify_client").filter(|verify| verify.argument(0) != "off")?;
        if !matches!(verify.argument(0), "optional" | "on") {
            let text = format!("{}: certificates of unknown authorities are refused here", verify.shown());
            self.part.notes.push(Note::changed(verify.place.line, text));
        }
        let mut demand = Demand::new(verify.argument(0) == "on", verify.origin());
        for (name, key) in [("ssl_client_certificate", "caFile"), ("ssl_crl", "crlFile")] {
            if let Some(file) = levels.last(name) {
                demand.file(key, file.argument(0), file.origin());
            }
        }
        Some(demand)
    }
}

/// The address of a `listen`; `None` for what is no address and port.
pub(super) fn address(listen: &Directive) -> Option<String> {
    let address = listen.argument(0);
    if address.starts_with('[') || address.contains(':') || address.parse::<u16>().is_ok() {
        return words::bind(address);
    }
    words::bind(&format!("{address}:80"))
}

/// What the listeners of an address have in common: `[::]` takes IPv4 as well, so both are one.
pub(super) fn key(address: &str) -> String {
    match address.rsplit_once(':') {
        Some(("0.0.0.0" | "[::]", port)) => format!("*:{port}"),
        _ => address.to_owned(),
    }
}
