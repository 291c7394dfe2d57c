//! `attache proxy`: a gateway in front of an agent, without a file. It shows the file it stands for.

use std::path::PathBuf;

use clap::Args;

use super::run::{self, Start};
use super::starter::{Agent, CertificateFiles, Listen, Starter, Tls, alike, of_user};
use super::{Ending, Failure, terminal};
use crate::config::Document;

/// Arguments of `attache proxy`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// Where the agent is: host and port, a port of this machine, or a URL. Given again: another replica of it.
    #[arg(long, value_name = "ADDRESS|URL", required = true)]
    to: Vec<Agent>,
    /// Where to listen. `:8080` is every address of this machine.
    /// [default: 127.0.0.1:8080, with --tls 127.0.0.1:8443]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<Listen>,
    /// Serve HTTPS: with a certificate of development (`dev`), or with the one in a directory.
    #[arg(long, value_name = "dev|DIR")]
    tls: Option<Tls>,
    /// Where metrics and health are read, or `off`. [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDRESS|off")]
    metrics: Option<String>,
    /// Print the file this stands for, and do nothing else.
    #[arg(long)]
    print: bool,
}

/// Performs the verb.
pub(super) fn perform(arguments: &Arguments) -> Result<Ending, Failure> {
    let starter = arguments.starter()?;
    let text = starter.short();
    if arguments.print {
        terminal::print(text.trim_end())?;
        return Ok(Ending::Done);
    }
    terminal::note(introduction(&starter, &text));
    let document = Document::text("<attache proxy>", text);
    run::run(&Start { document, last_good: None, remedy })
}

impl Arguments {
    fn starter(&self) -> Result<Starter, Failure> {
        alike(&self.to)?;
        let usual = Listen::here(if self.tls.is_some() { 8443 } else { 8080 });
        let listen = self.listen.unwrap_or(usual);
        let certificate = match &self.tls {
            None => None,
            Some(Tls::Directory(directory)) => Some(CertificateFiles::within(directory)?),
            Some(Tls::Development) => {
                let directory = of_user(|name| std::env::var_os(name).map(PathBuf::from))?;
                Some(CertificateFiles::development(&directory, listen.ip())?)
            }
        };
        Ok(Starter { listen, certificate, agents: self.to.clone(), metrics: self.metrics.clone() })
    }
}

/// The file, and how to try it.
fn introduction(starter: &Starter, text: &str) -> String {
    let authority = starter.certificate.as_ref().and_then(|files| files.authority.as_ref());
    let trust = authority.map_or_else(String::new, |file| format!("--cacert {} ", file.display()));
    format!(
        "# The file that this stands for; `--print > attache.yaml` keeps it.\n{text}\n# Try it: curl \
         {trust}{}/.well-known/agent-card.json\n",
        starter.url()
    )
}

/// The flag for a key: there is no file to change.
fn remedy(key: &str) -> String {
    if key.starts_with("metrics") {
        "choose another with --metrics, or --metrics off".to_owned()
    } else {
        "choose another with --listen".to_owned()
    }
}

const HELP: &str = "\
Examples:
  attache proxy --to 127.0.0.1:9101
  attache proxy --to 9101 --to 9102 --listen :8080
  attache proxy --to https://agent.example.com --tls dev
  attache proxy --to 9101 --tls /etc/letsencrypt/live/agents.example.com --print > attache.yaml

A certificate of development is kept in ~/.local/share/attache/dev and used again.
Signals and exit codes are those of `attache run`.";
