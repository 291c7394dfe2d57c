//! The text of a first configuration, with comments for who goes on from it.

use std::fmt::Write as _;
use std::path::Path;

use super::known::Known;
use crate::cli::starter::{Starter, quoted};

/// Writes it.
pub(super) fn text(starter: &Starter, known: &Known, out: &Path) -> String {
    let file = out.display();
    let mut text = format!(
        "# A gateway in front of an agent, written by `attache init`.\n\
         #   check it  attache validate {file}\n\
         #   run it    attache run -c {file}\n\
         # Every key: docs/configuration.md, or `attache config schema` for an editor. A running gateway takes changes of\n\
         # this file as they are saved.\n\n"
    );
    text.push_str(&listeners(starter));
    text.push_str(&route(starter, known));
    text.push_str(
        "\n# Metrics, /health and /ready. `address: off` for none.\n\
         metrics: { address: \"127.0.0.1:9090\" }\n\n\
         # A line for each request: text on a terminal, JSON elsewhere.\n\
         accessLog: { output: stdout }\n\n\
         # The admin API, for `attache reload` and `attache rollout`. It begins with a start.\n\
         # admin: { address: \"127.0.0.1:9901\" }\n",
    );
    text
}

fn listeners(starter: &Starter) -> String {
    let listen = starter.listen;
    let reach = if listen.is_loopback() {
        "    # This machine alone; 0.0.0.0 instead of the address is every address of it.\n"
    } else {
        ""
    };
    let public = "    # What clients call, where that is another address. Cards of agents are mapped to it.\n    # publicUrl: \
                  \"https://agents.example.com\"\n";
    let Some(files) = &starter.certificate else {
        return format!("listeners:\n  http:\n{reach}    address: \"{listen}\"\n{public}");
    };
    format!(
        "listeners:\n  https:\n{reach}    address: \"{listen}\"\n    tls:\n      certificates:\n        - certFile: {}\n          \
         keyFile: {}\n{public}  # Plain HTTP is sent to HTTPS.\n  # http: {{ address: \"127.0.0.1:8080\", httpsRedirect: true }}\n",
        quoted(&files.chain.display().to_string()),
        quoted(&files.key.display().to_string()),
    )
}

fn route(starter: &Starter, known: &Known) -> String {
    let name = known.slug();
    let mut text = format!("\nroutes:\n  {name}:\n");
    if !known.name.is_empty() {
        // Writing to a string cannot fail, here and below.
        writeln!(text, "    # {}{}.", upper(&known.said()), if known.is_signed { ", and is signed" } else { "" }).ok();
    }
    let is_cluster = starter.is_tls_upstream() || known.is_grpc_alone;
    if is_cluster {
        writeln!(text, "    cluster: {name}").ok();
        if starter.is_tls_upstream() {
            text.push_str("    # The agent is asked for by its own name.\n    upstreamHost: endpoint\n");
        }
    } else {
        text.push_str(&endpoints(starter, known));
    }
    if known.is_signed {
        text.push_str(
            "    # A signed card is left as it is, and leads clients to where it says. `strip` maps it and takes the\n    # \
             signature out.\n    # a2a: { agentCard: { signedCards: strip } }\n",
        );
    }
    text.push_str(
        "    # For each client twenty calls a second, forty at once.\n    # rateLimit: { key: clientIp, rate: 20/s, burst: \
         40 }\n",
    );
    if is_cluster {
        write!(text, "\nclusters:\n  {name}:\n{}", endpoints(starter, known)).ok();
        text.push_str(if starter.is_tls_upstream() {
            "    # Reached through TLS; `caFile` names an authority that this machine does not know.\n    tls: {}\n"
        } else {
            "    # It speaks gRPC alone: HTTP/2 in the clear.\n    protocol: h2c\n"
        });
    }
    text
}

fn endpoints(starter: &Starter, known: &Known) -> String {
    let mut text =
        "    # A line for each replica. Calls about a task reach the one that has it.\n    endpoints:\n".to_owned();
    for agent in &starter.agents {
        let address = agent.authority();
        match known.grpc {
            Some(port) => writeln!(text, "      - {{ address: \"{address}\", grpc: {port} }}"),
            None => writeln!(text, "      - \"{address}\""),
        }
        .ok();
    }
    text
}

fn upper(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::SystemTime;

    use super::*;
    use crate::cli::starter::CertificateFiles;
    use crate::config::{Environment, parse};

    /// Every text there is.
    fn all() -> Vec<String> {
        let mut texts = Vec::new();
        for (grpc, is_grpc_alone, is_signed) in
            [(None, false, false), (Some(9200), false, true), (None, true, false), (None, true, true)]
        {
            for agents in [&["9101", "agent.test:80"][..], &["https://agent.test"]] {
                for certificate in [false, true] {
                    let path = |name: &str| PathBuf::from(format!("certs/{name}"));
                    let certificate = certificate.then(|| CertificateFiles {
                        authority: None,
                        chain: path("a.crt"),
                        key: path("a.key"),
                    });
                    let starter = Starter {
                        listen: ":8443".parse().unwrap(),
                        certificate,
                        agents: agents.iter().map(|agent| agent.parse().unwrap()).collect(),
                        metrics: None,
                    };
                    let name = "Echo: \"Agent\"\n#".to_owned();
                    let known = Known { name, version: "1".into(), grpc, is_grpc_alone, is_signed };
                    texts.push(text(&starter, &known, Path::new("attache.yaml")));
                    texts.push(text(&starter, &Known::default(), Path::new("attache.yaml")));
                }
            }
        }
        texts
    }

    fn load(text: &str) {
        let environment = Environment::empty(SystemTime::UNIX_EPOCH).without_certificates();
        let loaded = parse(text, "attache.yaml", &environment);
        let loaded = loaded.unwrap_or_else(|report| panic!("{}\n{text}", report.human(false)));
        // The certificate of this test is not there.
        let expected = loaded.warnings.diagnostics().iter().all(|warning| warning.code == "missing-file");
        assert!(expected, "{}\n{text}", loaded.warnings.human(false));
    }

    #[test]
    fn every_text_can_be_loaded_without_a_warning() {
        all().iter().for_each(|text| load(text));
    }

    #[test]
    fn every_key_in_a_comment_can_be_put_in_force() {
        let mut found = 0;
        for text in all() {
            let lines: Vec<_> = text
                .lines()
                .map(|line| {
                    let (indent, rest) = line.split_at(line.len() - line.trim_start().len());
                    let key = rest.strip_prefix("# ").filter(|rest| {
                        let key = rest.split(": ").next().unwrap_or_default();
                        rest.contains(": ") && key.bytes().all(|byte| byte.is_ascii_alphabetic()) && key != "key"
                    });
                    // "Every key: .." is a sentence.
                    let key = key.filter(|key| key.starts_with(|first: char| first.is_ascii_lowercase()));
                    found += usize::from(key.is_some());
                    key.map_or_else(|| line.to_owned(), |key| format!("{indent}{key}"))
                })
                .collect();
            let environment = Environment::empty(SystemTime::UNIX_EPOCH).without_certificates();
            let text = lines.join("\n");
            let loaded = parse(&text, "attache.yaml", &environment);
            assert!(loaded.is_ok(), "{}\n{text}", loaded.unwrap_err().human(false));
        }
        assert!(found > 32 * 2, "{found}: some keys are in comments");
    }
}
