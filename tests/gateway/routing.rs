//! Which route answers, and what happens when none does.

use crate::support::{Backend, Gw};

#[tokio::test]
async fn a_request_reaches_the_endpoint() {
    let backend = Backend::replying(200);
    let backend = backend.await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&backend]).await;
    let reply = gw.get("/x?y=1").await;
    assert_eq!(reply.status, 200);
    assert_eq!(backend.request().uri, "/x?y=1");
}
