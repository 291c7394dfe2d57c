//! Names of endpoints: which are legal, and what becomes of an answer that is only half there.

use std::net::IpAddr;

use hickory_resolver::proto::rr::RecordType;

use crate::support::{Backend, Ca, Gw, NameServer, Place, Says, Speak, eventually};

/// An endpoint by name at a backend's port.
struct At<'a>(&'a str, u16);

impl Place for At<'_> {
    fn place(&self) -> String {
        format!("{}:{}", self.0, self.1)
    }
}

fn here() -> Says {
    Says::Are(vec![IpAddr::from([127, 0, 0, 1])])
}

const NAMED: &str = "
    dns: { servers: ['{0}'] }
    routes: { all: { endpoints: ['{1}'], upstreamHost: endpoint } }
";

#[tokio::test]
async fn a_name_with_an_underscore_is_resolved() {
    let server = NameServer::new().await;
    let backend = Backend::replying(200).await;
    let port = backend.address().port();
    for name in ["my_agent", "_agent", "my_agent.team_a.test", "xn--a.test"] {
        server.say(name, here(), Says::Nothing);
        // The final dot keeps the search list of this machine out.
        let gw = Gw::with(NAMED, &[&server, &At(&format!("{name}."), port)]).await;
        let reply = gw.get("/").await;
        assert_eq!(reply.status, 200, "{name}: {}", reply.reason());
        assert!(server.asked(name, RecordType::A) > 0, "{name}");
        let host = format!("{name}:{port}");
        let seen = backend.requests().pop().unwrap();
        assert_eq!(seen.header("host"), host, "without the dot");
    }
}

#[tokio::test]
async fn a_name_with_an_underscore_is_spoken_to_over_tls_and_http2() {
    let server = NameServer::new().await;
    server.say("my_agent", here(), Says::Nothing);
    let ca = Ca::new();
    let identity = ca.issue(&["my_agent"]);
    let speak = Speak { http2: true, ..Speak::default() };
    let backend = Backend::replying_as(speak, 200).await;
    let speak = Speak { tls: Some(identity.server(&["h2"], None)), ..Speak::default() };
    let secure = Backend::replying_as(speak, 200).await;
    for (backend, more) in [(&backend, "protocol: h2c"), (&secure, "tls: { caFile: '{2}' }")] {
        let template = format!(
            "
            dns: {{ servers: ['{{0}}'] }}
            routes: {{ all: {{ cluster: one }} }}
            clusters: {{ one: {{ endpoints: ['{{1}}'], {more} }} }}
            "
        );
        let at = At("my_agent.", backend.address().port());
        let gw = Gw::with(&template, &[&server, &at, &ca]).await;
        let reply = gw.get("/").await;
        assert_eq!(reply.status, 200, "{more}: {}", reply.reason());
    }
}

#[tokio::test]
async fn a_final_dot_keeps_the_name_from_the_search_list() {
    let server = NameServer::new().await;
    server.say("agent.team.test", here(), Says::Nothing);
    let backend = Backend::replying(200).await;
    let at = At("agent.team.test.", backend.address().port());
    let gw = Gw::with(NAMED, &[&server, &at]).await;
    assert_eq!(gw.get("/").await.status, 200);
    let names = server.names();
    assert!(names.iter().all(|name| name == "agent.team.test"), "{names:?}");
}

#[tokio::test]
async fn rfc8305_3_a_family_that_is_never_answered_does_not_take_the_other_with_it() {
    let server = NameServer::new().await;
    let backend = Backend::replying(200).await;
    let at = At("agent.test.", backend.address().port());
    server.say("agent.test", here(), Says::Silence);
    let gw = Gw::with(NAMED, &[&server, &at]).await;
    let reply = gw.get("/").await;
    assert_eq!(reply.status, 200, "at once: {}", reply.reason());
    eventually("it is asked again, and still there", || async {
        gw.metric("attache_dns_refreshes_total", &[("result", "partial")]).await >= 1.0
    })
    .await;
    assert_eq!(gw.get("/").await.status, 200);
}

#[tokio::test]
async fn a_silent_name_does_not_hold_up_another() {
    let server = NameServer::new().await;
    let backend = Backend::replying(200).await;
    let port = backend.address().port();
    server.say("first.test", Says::Silence, Says::Silence);
    server.say("second.test", Says::Unknown, Says::Unknown);
    let template = "
        dns: { servers: ['{0}'] }
        routes: { all: { endpoints: ['{1}', '{2}'] } }
    ";
    let names = [At("first.test.", port), At("second.test.", port)];
    let gw = Gw::with(template, &[&server, &names[0], &names[1]]).await;
    assert_eq!(gw.get("/").await.status, 503);
    server.say("second.test", here(), Says::Nothing);
    eventually("the other one is there", || async { gw.get("/").await.status == 200 }).await;
}
