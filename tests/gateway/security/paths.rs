//! A route cannot be reached, or avoided, by a second spelling of its path.

use super::bench::Bench;

const GUARDED: &str = "
    routes:
      admin: { match: { path: { prefix: /admin } }, respond: { status: 203, body: guarded } }
      exact: { match: { path: { exact: /secret/key } }, respond: { status: 203, body: guarded } }
      all: { endpoints: ['{0}'] }";

/// What a server that decodes, merges and resolves as liberally as any would take a path for.
fn liberally(target: &str) -> String {
    let path = target.split(['?', '#', ';']).next().unwrap_or_default();
    let mut bytes = path.bytes().collect::<Vec<_>>();
    for _ in 0..3 {
        let mut decoded = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let triplet = bytes
                .get(at + 1..at + 3)
                .filter(|_| bytes[at] == b'%')
                .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
            decoded.push(triplet.unwrap_or(bytes[at]));
            at += if triplet.is_some() { 3 } else { 1 };
        }
        bytes = decoded;
    }
    let text = String::from_utf8_lossy(&bytes).replace('\\', "/").to_ascii_lowercase();
    let mut segments = Vec::new();
    for segment in text.split('/') {
        match segment.split('\0').next().unwrap_or_default() {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

#[tokio::test]
async fn a_guarded_route_has_one_spelling() {
    let spellings = [
        "/admin", "/admin/", "/admin/x", "/admin?x", "/%61dmin", "/%61%64%6d%69%6e", "/%61%64%6D%69%6E", "/admi%6e",
        "//admin", "///admin", "/./admin", "/././admin", "/x/../admin", "/x/y/../../admin", "/x/./../admin",
        "/../admin", "/../../admin", "/%2e/admin", "/%2E/admin", "/%2e%2e/admin", "/x/%2e%2e/admin", "/x/.%2e/admin",
        "/x/%2e./admin", "/x/%2E%2E/admin", "/x//../admin", "/x/..//admin", "/admin/.", "/admin/..", "/admin/../admin",
        "/admin/x/..", "/admin//", "/admin/%2e", "/./%61dmin", "/%2e/%61dmin/x", "http://a/admin", "http://a//admin",
        "http://a/x/../admin", "http://a/%61dmin", "/x/%2e%2e/%61dmin", "/secret/key", "/secret//key", "/secret/./key",
        "/secret/x/../key", "/s%65cret/k%65y", "//secret/key", "/secret/%6bey", "/secret/key?x=/y", "/x/../secret/key",
    ];
    let refusals = [
        "/admin%2f..", "/admin%2f", "/x%2f..%2fadmin", "/%2fadmin", "/%2f/admin", "/x/..%2fadmin", "/x/%2e%2e%2fadmin",
        "/..%2f", "/%2e%2e%2f", "/x%5c..%5cadmin", "/%5cadmin", "/x/..%5cadmin", "/\\admin", "/x\\..\\admin",
        "/admin%00", "/admin%00.html", "/%00/admin", "/x/%2F../admin", "/admin%5C", "/x%2F%2E%2E%2Fadmin",
        "/adm%u0069n", "/%%61dmin", "/%6", "/admin%", "/%c0%ae%c0%ae/%2f", "/secret%2fkey", "/secret%2Fkey",
        "/secret%5ckey", "/secret/key%00",
    ];
    let bench = Bench::with(GUARDED).await;
    let mut complaints = Vec::new();
    for spelling in spellings {
        let answers = bench.serves(format!("GET {spelling} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        let outside = matches!(spelling, "/admin/..");
        if answers.statuses() != [if outside { 200 } else { 203 }, 200] {
            complaints.push(format!("{spelling} is not the guarded route: {}", answers.text));
        }
    }
    for spelling in refusals {
        let answers = bench.serves(format!("GET {spelling} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        if answers.statuses() != [400] {
            complaints.push(format!("{spelling} is not refused: {}", answers.text));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    let arrived = bench.finish().await;
    let targets: Vec<_> = arrived.iter().map(|arrived| arrived.target()).collect();
    assert_eq!(targets, ["/"], "only the root, above the guarded route");
}

#[tokio::test]
async fn what_is_forwarded_is_what_was_matched() {
    // Each of these is another path than the guarded one for everybody; it is forwarded in the one spelling it was
    // matched in.
    let cases = [
        ("/administrator", "/administrator"),
        ("/xadmin", "/xadmin"),
        ("/Admin", "/Admin"),
        ("/ADMIN", "/ADMIN"),
        ("/x/admin", "/x/admin"),
        ("/admin/../x", "/x"),
        ("/a%64min%20", "/admin%20"),
        ("/%2561dmin", "/%2561dmin"),
        ("/%252e%252e/admin", "/%252e%252e/admin"),
        ("/x/.../admin", "/x/.../admin"),
        ("/x/..;/admin", "/x/..;/admin"),
        ("/;/admin", "/;/admin"),
        ("/admin;x", "/admin;x"),
        ("/admin;/x", "/admin;/x"),
        ("/admin:cancel", "/admin:cancel"),
        ("/admin%3b", "/admin%3B"),
        ("/%7ejo/%2D%5f", "/~jo/-_"),
        ("/a%c3%a9", "/a%C3%A9"),
        ("/x?y=/../admin", "/x?y=/../admin"),
        ("/x?%61=%2f%00", "/x?%61=%2f%00"),
        ("/x??a", "/x??a"),
        ("/x?", "/x?"),
        ("/a/", "/a/"),
        ("/a/b/..", "/a/"),
        ("/a/b/.", "/a/b/"),
        ("/secret/key/", "/secret/key/"),
        ("/secret/key;x", "/secret/key;x"),
    ];
    let bench = Bench::with(GUARDED).await;
    for (target, _) in cases {
        let answers = bench.serves(format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        assert_eq!(answers.statuses(), [200, 200], "{target}: {}", answers.text);
    }
    let arrived = bench.finish().await;
    let targets: Vec<_> = arrived.iter().map(|arrived| arrived.target()).collect();
    assert_eq!(targets, cases.map(|(_, expected)| expected));
}

#[tokio::test]
async fn no_endpoint_sees_a_guarded_path_however_it_is_spelled() {
    // Every way of writing each character and separator of `/admin/x`, two at a time.
    let starts = [
        "/", "//", "/./", "/x/../", "/%2e/", "/x/%2e%2e/", "/x//../", "/../", "/%2E%2E/", "/.%2e/", "http://a/",
        "http://a//",
    ];
    let names = ["admin", "%61dmin", "a%64min", "adm%69%6E", "%61%64%6d%69%6e"];
    let ends = [
        "", "/", "//", "/.", "/x", "//x", "/./x", "/y/../x", "/%2e/x", "?q", "/?q", "/x%20", "/x/..", "/%2e%2e/admin",
        "/../admin/x",
    ];
    let bench = Bench::with(GUARDED).await;
    let mut client = bench.gw.raw().await;
    let mut pipeline = String::new();
    let mut count = 0;
    for start in starts {
        for name in names {
            for end in ends {
                pipeline += &format!("GET {start}{name}{end} HTTP/1.1\r\nhost: a\r\n\r\n");
                count += 1;
            }
        }
    }
    client.write(pipeline + "GET /last HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    let text = client.rest().await;
    assert_eq!(text.matches("HTTP/1.1 203").count(), count, "every one is guarded");
    let seen = bench.finish().await;
    let through: Vec<_> =
        seen.iter().map(|arrived| arrived.target()).filter(|target| liberally(target).starts_with("/admin")).collect();
    assert!(through.is_empty(), "{through:?}");
}

#[tokio::test]
async fn listeners_may_pass_encoded_slashes_but_not_a_climb() {
    let lenient = "
        listeners: { http: { address: '127.0.0.1:0', paths: { allowEncodedSlash: true, mergeSlashes: false } } }
        routes:
          admin: { match: { path: { prefix: /admin } }, respond: { status: 203 } }
          all: { endpoints: ['{0}'] }";
    let bench = Bench::with(lenient).await;
    for (target, status) in [
        ("/tasks/a%2fb", 200),
        ("/tasks/a%5Cb", 200),
        ("/x//y", 200),
        ("/x/..%2fadmin", 400),
        ("/x%2f..%2f..%2fadmin", 400),
        ("/x/%2e%2e%5cadmin", 400),
        ("/x%2f%2e%2e%2fadmin", 400),
        ("/x%00", 400),
        ("/x/../admin", 203),
        ("/%61dmin", 203),
    ] {
        let answers = bench.serves(format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        assert_eq!(answers.statuses()[0], status, "{target}: {}", answers.text);
    }
    let arrived = bench.finish().await;
    let targets: Vec<_> = arrived.iter().map(|arrived| arrived.target()).collect();
    assert_eq!(targets, ["/tasks/a%2Fb", "/tasks/a%5Cb", "/x//y"]);
}
