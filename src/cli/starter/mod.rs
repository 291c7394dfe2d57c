//! A first configuration: where the agent is, where the gateway listens, and with which certificate. `attache proxy`
//! runs it, `attache init` writes it down with comments.

mod addresses;
mod certificate;

pub(super) use addresses::{Agent, Listen};
pub(super) use certificate::{CertificateFiles, Tls, of_user};

use super::Failure;

/// What a first configuration is made of.
#[derive(Debug)]
pub(super) struct Starter {
    pub(super) listen: Listen,
    pub(super) certificate: Option<CertificateFiles>,
    pub(super) agents: Vec<Agent>,
    /// `metrics.address`, where it is not the default.
    pub(super) metrics: Option<String>,
}

impl Starter {
    /// The shortest file that says it.
    pub(super) fn short(&self) -> String {
        let Self { listen, certificate, .. } = self;
        let listener = match certificate {
            None => format!("  http: {{ address: \"{listen}\" }}\n"),
            Some(files) => format!(
                "  https:\n    address: \"{listen}\"\n    tls: {{ certificates: [{{ certFile: {}, keyFile: {} }}] }}\n",
                quoted(&files.chain.display().to_string()),
                quoted(&files.key.display().to_string()),
            ),
        };
        let endpoints: Vec<_> = self.agents.iter().map(|agent| format!("\"{}\"", agent.authority())).collect();
        let endpoints = endpoints.join(", ");
        let routes = if self.is_tls_upstream() {
            format!(
                "routes:\n  agent: {{ cluster: agent, upstreamHost: endpoint }}\nclusters:\n  agent: {{ endpoints: \
                 [{endpoints}], tls: {{}} }}\n"
            )
        } else {
            format!("routes:\n  agent: {{ endpoints: [{endpoints}] }}\n")
        };
        let metrics = self.metrics.as_ref();
        let metrics =
            metrics.map_or_else(String::new, |address| format!("metrics: {{ address: {} }}\n", quoted(address)));
        format!("listeners:\n{listener}{metrics}{routes}")
    }

    /// Whether the agents are reached through TLS.
    pub(super) fn is_tls_upstream(&self) -> bool {
        self.agents.iter().any(|agent| agent.is_https)
    }

    /// The URL under which this machine reaches the gateway.
    pub(super) fn url(&self) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.listen.nearby())
    }
}

/// Replicas of one agent are all reached in the same way.
pub(super) fn alike(agents: &[Agent]) -> Result<(), Failure> {
    let first = agents.first().map(|agent| agent.is_https);
    if agents.iter().all(|agent| Some(agent.is_https) == first) {
        return Ok(());
    }
    Err(Failure::new(
        "some agents are given as https:// and others are not",
        "replicas of one agent are reached in the same way: give all of them with https://, or none",
    ))
}

/// Text as YAML has it between double quotes.
pub(super) fn quoted(text: &str) -> String {
    // A JSON string is a YAML string.
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::SystemTime;

    use super::*;
    use crate::config::{Environment, parse};

    fn starter(agents: &[&str], listen: &str) -> Starter {
        let agents = agents.iter().map(|agent| agent.parse().unwrap()).collect();
        Starter { listen: listen.parse().unwrap(), certificate: None, agents, metrics: None }
    }

    #[test]
    fn one_agent_is_four_lines() {
        let starter = starter(&["127.0.0.1:9101"], ":8080");
        let expected = "listeners:\n  http: { address: \"0.0.0.0:8080\" }\nroutes:\n  agent: { endpoints: \
                        [\"127.0.0.1:9101\"] }\n";
        assert_eq!(starter.short(), expected);
        assert_eq!(starter.url(), "http://localhost:8080");
    }

    #[test]
    fn every_combination_can_be_loaded() {
        for agents in [&["9101", "agent.test"][..], &["https://agent.test", "https://[::1]:8443/"]] {
            for metrics in [None, Some("off".to_owned()), Some("127.0.0.1:0".to_owned())] {
                for certificate in [false, true] {
                    let mut starter = starter(agents, "[::1]:8443");
                    starter.metrics.clone_from(&metrics);
                    let path = |name: &str| PathBuf::from(format!("it's \"here\"/{name}"));
                    starter.certificate = certificate.then(|| CertificateFiles {
                        authority: None,
                        chain: path("a.crt"),
                        key: path("a.key"),
                    });
                    let environment = Environment::empty(SystemTime::UNIX_EPOCH).without_certificates();
                    let text = starter.short();
                    let loaded = parse(&text, "attache.yaml", &environment);
                    assert!(loaded.is_ok(), "{}\n{text}", loaded.unwrap_err().human(false));
                }
            }
        }
    }

    #[test]
    fn replicas_are_reached_in_the_same_way() {
        assert!(alike(&starter(&["a.test:80", "b.test:80"], "80").agents).is_ok());
        assert!(alike(&starter(&["a.test:80", "https://b.test"], "80").agents).is_err());
    }
}
