//! Other programs' words for the address clients see.

use super::Foreign;

pub(super) const FOREIGN: &[Foreign] = &[
    (
        &[
            "externalUrl",
            "baseUrl",
            "rootUrl",
            "serverUrl",
            "canonicalUrl",
            "publicAddress",
            "publicHost",
            "absolute_redirect",
            "port_in_redirect",
            "server_name_in_redirect",
        ],
        "publicUrl",
        "write `publicUrl: https://agents.example.com`; redirects lead there",
    ),
    (
        &["proxy_redirect", "ProxyPassReverse"],
        "mapLocation",
        "locations of agents are mapped without it; `mapLocation: false` turns that off",
    ),
];
