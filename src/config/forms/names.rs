//! Hosts and upstream addresses.

use std::net::{IpAddr, SocketAddr};

use super::reading::text_value;
use crate::config::de::with_hint;
use crate::config::hosts::is_name;
use crate::config::types::{BindingPlace, HostPattern, MemberAddress};
use crate::host::bare;

text_value!(MemberAddress as "HostPort", target, "an address such as `10.0.0.1:8080`", {
    "type": "string",
    "description": "Host or IP address, and port: 10.0.0.1:8080, [::1]:8080, agent.internal:8080."
});

pub(in crate::config) fn target(text: &str) -> Result<MemberAddress, String> {
    if let Some((scheme, rest)) = text.split_once("://") {
        let rest = rest.split('/').next().unwrap_or(rest);
        let (default_port, tls) = match scheme {
            "https" | "grpcs" => (":443", ", and add `tls: {}` to the cluster"),
            _ => (":80", ""),
        };
        let bare = rest.rsplit_once(']').map_or(rest, |(_, after)| after);
        let port = if bare.contains(':') { "" } else { default_port };
        return Err(with_hint("an endpoint is a host and a port, not a URL", format!("write `{rest}{port}`{tls}")));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        if address.port() == 0 {
            return Err(with_hint(format!("`{text}` has port 0"), "a port is 1 to 65535"));
        }
        return Ok(MemberAddress::Socket(address));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        let hint = if text.parse::<u16>().is_ok() {
            format!("write `127.0.0.1:{text}`")
        } else {
            format!("write `{text}:8080`")
        };
        return Err(with_hint(format!("`{text}` has no port"), hint));
    };
    let port = port.parse::<u16>().ok().filter(|port| *port != 0);
    let port = port.ok_or_else(|| with_hint(format!("`{text}` has no legal port"), "a port is 1 to 65535"))?;
    // A final dot stays: it keeps the resolver from its search list.
    let host = host.to_ascii_lowercase();
    if !is_name(host.strip_suffix('.').unwrap_or(&host)) {
        let message = format!("`{host}` is not a host name");
        return Err(with_hint(message, "letters, digits, `-`, `_` and `.`; IPv6 in brackets"));
    }
    Ok(MemberAddress::Name { host, port })
}

text_value!(BindingPlace as "PortOrAddress", place, "a port such as `8081`, or an address such as `10.0.0.1:8081`", {
    "type": ["integer", "string"],
    "description": "A port of the same host, or an IP address and port: 8081, 10.0.0.1:8081, [::1]:8081."
});

fn place(text: &str) -> Result<BindingPlace, String> {
    let port = text.parse().ok().filter(|port| *port != 0).map(BindingPlace::Port);
    let address = || text.parse().ok().filter(|address: &SocketAddr| address.port() != 0).map(BindingPlace::Address);
    port.or_else(address).ok_or_else(|| {
        let hint = "write a port of the same host, or an IP address and port";
        with_hint(format!("`{text}` is no place of one replica"), hint)
    })
}

text_value!(HostPattern as "Host", host, "a host such as `agents.example.com`", {
    "type": "string",
    "description": "A host name, an IP address, or `*.example.com` for every name below it."
});

pub(in crate::config) fn host(text: &str) -> Result<HostPattern, String> {
    let lower = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if lower.starts_with('[') || lower.parse::<IpAddr>().is_ok() {
        return match bare(&lower).parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => Ok(HostPattern::Exact(format!("[{address}]"))),
            Ok(IpAddr::V4(address)) => Ok(HostPattern::Exact(address.to_string())),
            Err(_) => Err(with_hint(format!("`{text}` is not a host"), "leave the port out")),
        };
    }
    if let Some(parent) = lower.strip_prefix("*.")
        && is_name(parent)
    {
        return Ok(HostPattern::Wildcard(parent.to_owned()));
    }
    if is_name(&lower) {
        return Ok(HostPattern::Exact(lower));
    }
    let hint = if lower == "*" {
        "leave `hosts` out to serve every host".to_owned()
    } else if lower.contains("://") || lower.contains('/') {
        "a host has no scheme and no path".to_owned()
    } else if lower.contains('*') {
        "a wildcard stands for whole labels at the start: `*.example.com`".to_owned()
    } else if let Some((name, _)) = lower.split_once(':') {
        format!("leave the port out: `{name}`")
    } else if !lower.is_ascii() {
        "write it in its ASCII form (`xn--...`)".to_owned()
    } else {
        "write `agents.example.com` or `*.example.com`".to_owned()
    };
    Err(with_hint(format!("`{text}` is not a host"), hint))
}

text_value!(
    /// One host.
    OneHost(String), one_host, "a host such as `agents.example.com`",
    { "type": "string", "description": "A host name or an IP address." }
);

fn one_host(text: &str) -> Result<OneHost, String> {
    match host(text)? {
        HostPattern::Exact(name) => Ok(OneHost(name)),
        HostPattern::Wildcard(_) => Err("a redirect needs one host, not a wildcard".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        assert_eq!(host("Agents.Example.COM.").unwrap(), HostPattern::Exact("agents.example.com".into()));
        assert_eq!(host("*.example.com").unwrap(), HostPattern::Wildcard("example.com".into()));
        assert_eq!(host("127.0.0.1").unwrap(), HostPattern::Exact("127.0.0.1".into()));
        assert_eq!(host("::1").unwrap(), HostPattern::Exact("[::1]".into()));
        for text in ["", "*", "a*.b", "*.*.b", "a b", "a:80", "http://a", "-a", "1.2.3", "a..b", "é.com", "*."] {
            assert!(host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn places_of_bindings() {
        assert_eq!(place("8081"), Ok(BindingPlace::Port(8081)));
        assert_eq!(place("[::1]:80"), Ok(BindingPlace::Address("[::1]:80".parse().unwrap())));
        for text in ["", "0", "65536", "a:80", "10.0.0.1", "10.0.0.1:0", ":80", "http://a:80"] {
            assert!(place(text).is_err(), "{text}");
        }
    }

    #[test]
    fn targets() {
        assert!(matches!(target("10.0.0.1:80").unwrap(), MemberAddress::Socket(_)));
        assert!(matches!(target("[::1]:80").unwrap(), MemberAddress::Socket(_)));
        assert!(matches!(target("my_agent:80").unwrap(), MemberAddress::Name { port: 80, .. }));
        let MemberAddress::Name { host, .. } = target("Agent.Example.:80").unwrap() else {
            panic!("a name");
        };
        assert_eq!(host, "agent.example.", "the dot says: no search list");
        for text in [
            "a", "a:0", "a:99999", "http://a:80", ":80", "a b:80", "a..:80", ".:80", "::1:80", "10.0.0.1:0",
            "256.1.1.1:80",
        ] {
            assert!(target(text).is_err(), "{text}");
        }
    }
}
