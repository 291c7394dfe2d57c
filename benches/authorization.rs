//! Who may do what: asking 100 rules of each kind about a request that the last of them lets pass, or that none does.
//! The bar is 1 µs.

#![allow(clippy::expect_used, clippy::panic, reason = "a bench that cannot be set up has to stop")]
#![allow(missing_docs, reason = "the macro of criterion writes a function without them")]

use std::fs;
use std::hint::black_box;
use std::time::SystemTime;

use attache::a2a::Operation;
use attache::config::model::{AuthorizationPolicyId, PolicyMode};
use attache::config::{self, Environment};
use attache::context::{Principal, PrincipalKind};
use attache::policy::authorization::{Asked, Authorization, Call, Decision, Policies, RulePath, Who};
use attache::route::canonical_path;
use criterion::{Criterion, criterion_group, criterion_main};
use http::Method;
use serde_json::{Map, json};

const RULES: usize = 100;

/// The kinds of rules; `#` stands for the number of the rule.
const KINDS: &[(&str, &str)] = &[
    ("methods", "methods: [PUT, DELETE], paths: { prefix: /tasks/# }"),
    ("roles", "roles: role-#"),
    ("principals", "principals: { provider: staff, name: user-# }"),
    ("spiffe", "spiffe: 'spiffe://cluster.local/ns/team-#/sa/*'"),
    ("paths", "paths: { prefix: /tenants/tenant-# }"),
    ("operations", "operations: [CancelTask, DeleteTaskPushNotificationConfig], roles: role-#"),
    ("addresses", "clientIps: [10.0.#.0/24, 172.16.#.0/24]"),
    ("claims", "claims: { realm.roles: role-# }"),
    ("mixed", "roles: role-#, methods: [GET, POST], paths: { prefix: /tenants/tenant-# }, clientIps: 192.0.2.0/24"),
];

fn rules(kind: &str) -> Box<Authorization> {
    let each: Vec<_> = (0..RULES).map(|number| format!("{{ {} }}", kind.replace('#', &number.to_string()))).collect();
    let keys = tempfile::NamedTempFile::new().expect("a file can be made");
    fs::write(keys.path(), format!("ann:{}\n", "0".repeat(64))).expect("it can be written");
    let text = format!(
        "listeners: {{ http: {{ address: '127.0.0.1:0' }} }}\n\
         authProviders: {{ staff: {{ apiKey: {{ keysFile: '{}' }} }} }}\n\
         routes: {{ all: {{ endpoints: ['a:80'], auth: staff, authorization: {{ rules: [{}] }} }} }}",
        keys.path().display(),
        each.join(", ")
    );
    let loaded = config::parse(&text, "bench.yaml", &Environment::empty(SystemTime::UNIX_EPOCH));
    let config = loaded.unwrap_or_else(|report| panic!("{report}")).config;
    Policies::build(&config, canonical_path).of(&[AuthorizationPolicyId(0)]).expect("the policy is there")
}

/// Somebody of whom nothing is wanted but what the last rule wants.
fn principal() -> Principal {
    let mut claims = Map::new();
    claims.insert("realm".to_owned(), json!({ "roles": ["offline", "role-none", "role-99"] }));
    Principal {
        name: "user-99".into(),
        provider: "staff".into(),
        kind: PrincipalKind::Jwt,
        roles: ["agent-user".into(), "role-99".into()].into(),
        claims,
        spiffe: Some("spiffe://cluster.local/ns/team-99/sa/web".into()),
    }
}

fn ask(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("100_rules");
    let known = principal();
    let path = "/tenants/tenant-99/message:send";
    for (name, kind) in KINDS {
        let rules = rules(kind);
        for (who, case) in [(Who::Known(&known), "known"), (Who::Nobody, "nobody")] {
            let decide = || {
                let asked = Asked {
                    who: black_box(who),
                    client: Some([192, 0, 2, 7].into()),
                    method: &Method::POST,
                    path: RulePath::new(black_box(path)),
                    tenant: None,
                    call: Call::Known { operation: Some(Operation::SendMessage), tenant: None },
                };
                rules.decide(PolicyMode::Enforce, &asked)
            };
            assert!(!matches!(decide(), Decision::Open), "{name}");
            group.bench_function(format!("{name}/{case}"), |bench| bench.iter(decide));
        }
    }
    group.finish();
}

criterion_group!(benches, ask);
criterion_main!(benches);
