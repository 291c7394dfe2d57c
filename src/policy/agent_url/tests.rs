//! The spellings that lead past a guard elsewhere, and ordinary addresses.

use proptest::prelude::*;

use super::*;

fn guard(allow: &[HostPattern], private: bool, http: bool) -> UrlGuard {
    UrlGuard { allow: allow.to_vec(), private, http }
}

#[test]
fn public_addresses_are_let_through() {
    for url in [
        "https://hooks.example.com",
        "https://hooks.example.com/a/b?c=d#e",
        "HTTPS://Hooks.Example.COM.:8443/x",
        "https://hooks.example.com?to=http://127.0.0.1/",
        "https://hooks.example.com/a@b",
        "https://hooks.example.com/\u{fc}",
        "https://xn--bcher-kva.example/",
        "https://my_host.example/",
        "https://1password.example/",
        "https://127.0.0.1.nip.example/",
        "https://localhost.example.com/",
        "https://internal.example.com/",
        "https://8.8.8.8/",
        "https://8.8.8.8:443/",
        "https://8.8.8.8./",
        "https://172.32.0.1/",
        "https://100.128.0.1/",
        "https://[2606:4700:4700::1111]/",
        "https://[2606:4700:4700::1111]:443/x",
    ] {
        assert!(may_use(url, &UrlGuard::default()), "{url}");
    }
}

#[test]
fn what_leads_inside_or_is_doubtful_is_not() {
    let names = ["localhost", "a.localhost", "LocalHost.", "metadata.google.internal", "METADATA.google.INTERNAL."];
    let more = ["x.internal", "printer.local", "a.b.svc", "a.svc.cluster.local", "metadata", "agent", "r.home.arpa"];
    let four = [
        "127.0.0.1", "127.0.0.1.", "127.1", "127.0.1", "2130706433", "017700000001", "0x7f000001", "0x7f.1", "0X7F.1",
        "0177.0.0.1", "0177.0.0.01", "127.0.0.01", "0x7f.0x0.0x0.0x1", "00000127.0.0.1", "127.0.0.0x1", "0", "0.0.0.0",
        "0x", "1.2.3.0x", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1", "100.100.100.200",
        "169.254.169.254", "2852039166", "0xA9FEA9FE", "168.63.129.16", "192.0.0.192", "224.0.0.1", "255.255.255.255",
        "198.18.0.1", "134744072", "8.8.8", "08.8.8.8", "8.8.8.8.8", "999.1.1.1", "256.256.256.256",
        "1.2.3.4294967295",
    ];
    let six = [
        "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:8.8.8.8]", "[::127.0.0.1]", "[fe80::1]",
        "[fe80::1%25eth0]", "[fe80::1%eth0]", "[fd00:ec2::254]", "[fc00::1]", "[ff02::1]", "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]", "[2001:db8::1]", "[2001::1]", "[100::1]", "[0:0:0:0:0:0:0:1]", "[::1", "[]", "[127.0.0.1]",
        "[v1.x]", "::1", "[3fff::1]", "[fec0::1]",
    ];
    let odd = [
        "",
        ".",
        "..",
        "a..example",
        ".a.example",
        "a.example..",
        "user@a.example",
        "a.example@127.0.0.1",
        "127.0.0.1@a.example",
        "a.example:80@127.0.0.1",
        ":@a.example",
        "a.example%40b.example",
        "%31%32%37.0.0.1",
        "127\u{3002}0\u{3002}0\u{3002}1",
        "\u{ff11}27.0.0.1",
        "a\u{3002}example",
        "\u{2460}.example",
        "b\u{fc}cher.example",
        "loc\u{ad}alhost",
        "a.example\\@127.0.0.1",
        "a.example\t",
        "a\n.example",
        "a .example",
        "a.example:99999",
        "a.example:x",
        "a.example:+1",
        "a.example:1:2",
        "a.example:",
        "[::1]x",
        "a,b.example",
        "a.example;b",
        "*.example",
        "a'b.example",
    ];
    let all = names.into_iter().chain(more).chain(four).chain(six).chain(odd);
    for host in all {
        for url in [
            format!("https://{host}/"),
            format!("https://{host}"),
            format!("https://{host}?x"),
            format!("http://{host}/"),
        ] {
            assert!(!may_use(&url, &UrlGuard::default()), "{url}");
            assert!(!may_use(&url, &guard(&[], false, true)), "{url}");
        }
    }
}

#[test]
fn what_is_no_plain_url_of_http_is_refused() {
    for url in [
        "", "a.example", "//a.example/", "https:a.example", "https:/a.example", "https:///a.example",
        "https:\\\\a.example", " https://a.example", "https://a.example ", "ht\ttps://a.example",
        "\u{1}https://a.example", "ftp://a.example/", "file:///etc/passwd", "gopher://a.example/",
        "javascript://a.example/", "data:,x", "https ://a.example", "wss://a.example", "https://a.example/\\b",
        "https://a.example/a b", "https://a.example/\r\nX: y",
    ] {
        assert!(!may_use(url, &guard(&[], true, true)), "{url:?}");
    }
}

#[test]
fn what_is_chosen_decides() {
    let exact = |host: &str| HostPattern::Exact(host.to_owned());
    let named = guard(
        &[
            exact("hooks.example.com"),
            HostPattern::Wildcard("corp.internal".to_owned()),
            exact("10.0.0.5"),
            exact("[fd00::1]"),
        ],
        false,
        false,
    );
    for (url, is_allowed) in [
        ("https://hooks.example.com/", true),
        ("https://HOOKS.example.com./", true),
        ("https://a.corp.internal/", true),
        ("https://a.b.corp.internal/", true),
        ("https://10.0.0.5:8443/x", true),
        ("https://[fd00:0::1]/x", true),
        ("http://hooks.example.com/", false),
        ("https://corp.internal/", false),
        ("https://xcorp.internal/", false),
        ("https://.corp.internal/", false),
        ("https://hooks.example.com.evil.example/", false),
        ("https://evil.example/hooks.example.com", false),
        ("https://hooks.example.com@evil.example/", false),
        ("https://xhooks.example.com/", false),
        ("https://10.0.0.6/", false),
        ("https://167772165/", false),
        ("https://0012.0.0.5/", false),
    ] {
        assert_eq!(may_use(url, &named), is_allowed, "{url}");
    }
    for (private, http, url, is_allowed) in [
        (true, false, "https://127.0.0.1/", true),
        (true, false, "http://127.0.0.1/", false),
        (true, true, "http://localhost:9000/hook", true),
        (true, true, "http://127.1/", false),
        (false, true, "http://a.example/", true),
        (false, false, "http://a.example/", false),
    ] {
        assert_eq!(may_use(url, &guard(&[], private, http)), is_allowed, "{private} {http} {url}");
    }
}

/// An address in one of the spellings that `inet_aton` reads.
fn spelled(address: Ipv4Addr, parts: usize, forms: [u8; 4]) -> String {
    let octets = address.octets();
    let mut numbers: Vec<u32> = octets.iter().take(parts - 1).map(|octet| u32::from(*octet)).collect();
    numbers.push(octets.iter().skip(parts - 1).fold(0, |sum, octet| sum << 8 | u32::from(*octet)));
    let form = |(number, form): (&u32, u8)| match form % 4 {
        0 => format!("{number}"),
        1 => format!("0{number:o}"),
        2 => format!("0x{number:x}"),
        _ => format!("0X000{number:X}"),
    };
    numbers.iter().zip(forms).map(form).collect::<Vec<_>>().join(".")
}

proptest! {
    #[test]
    fn no_spelling_of_a_private_address_passes(
        network in prop::sample::select(NOT_PUBLIC_V4.to_vec()),
        host: u32,
        parts in 1_usize..=4,
        forms: [u8; 4],
        end in prop::sample::select(vec!["", "/", ".", ":80", "?x", "#y"]),
    ) {
        let inside = host.checked_shr(network.1).unwrap_or(0);
        let address = Ipv4Addr::from_bits(network.0.to_bits() | inside);
        let url = format!("https://{}{end}", spelled(address, parts, forms));
        prop_assert!(!may_use(&url, &UrlGuard::default()), "{}", url);
        let mapped = address.to_ipv6_mapped();
        for url in [format!("https://[{mapped}]{end}"), format!("https://[::ffff:{address}]/"), format!("https://[::{address}]/")] {
            prop_assert!(!may_use(&url, &UrlGuard::default()), "{}", url);
        }
    }

    #[test]
    fn an_address_passes_as_it_should_be_written_or_not_at_all(bits: u32, parts in 1_usize..=4, forms: [u8; 4]) {
        let address = Ipv4Addr::from_bits(bits);
        let text = spelled(address, parts, forms);
        let is_usual = text == address.to_string();
        prop_assert_eq!(may_use(&format!("https://{text}/"), &UrlGuard::default()), is_usual && is_public_v4(address));
    }

    #[test]
    fn what_passes_has_the_same_host_for_another_reader(url in "https?://[a-z0-9.:@%\\[\\]/?#\\\\_-]{0,24}") {
        if may_use(&url, &guard(&[], false, true)) {
            let uri: http::Uri = url.split('#').next().unwrap().parse().unwrap();
            let host = uri.host().unwrap().to_ascii_lowercase();
            let host = host.trim_end_matches('.');
            prop_assert!(!host.contains('@') && uri.authority().unwrap().as_str().find('@').is_none(), "{}", url);
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            let ours = super::host(&url).unwrap().1;
            match bare.parse::<IpAddr>() {
                Ok(address) => prop_assert_eq!(ours, Host::Address(address)),
                Err(_) => prop_assert_eq!(ours, Host::Name(host.to_owned())),
            }
        }
    }

    #[test]
    fn nothing_makes_it_fail(url: String, text in "https://\\PC{0,40}") {
        // What passes where nothing is chosen passes where everything is allowed.
        for url in [url, text] {
            prop_assert!(!may_use(&url, &UrlGuard::default()) || may_use(&url, &guard(&[], true, true)), "{}", url);
        }
    }
}
