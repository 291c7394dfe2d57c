//! `attache init`: writes a first configuration with comments, from flags or from the answers to three questions. What
//! the agent's card says is taken into account, where the agent can be reached.

mod known;
mod questions;
mod text;

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf, absolute};

use clap::Args;

use super::certificates::write_file;
use super::configuration::FILE_HERE;
use super::starter::{Agent, CertificateFiles, Listen, Starter, Tls, alike};
use super::{Ending, Failure, runtime, terminal};
use crate::config::{Environment, parse};
use known::Known;
use text::text;

/// Arguments of `attache init`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// Where the agent is: host and port, a port of this machine, or a URL. Given again: another replica of it. Without
    /// this flag, a terminal is asked.
    #[arg(long, value_name = "ADDRESS|URL")]
    to: Vec<Agent>,
    /// Where to listen. `:8080` is every address of this machine.
    /// [default: 127.0.0.1:8080, with --tls 127.0.0.1:8443]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<Listen>,
    /// Serve HTTPS: with a certificate of development that is made in `certs` beside the file (`dev`), or with the one
    /// in a directory.
    #[arg(long, value_name = "dev|DIR")]
    tls: Option<Tls>,
    /// The file to write; `-` for standard output.
    #[arg(short, long, value_name = "FILE", default_value = FILE_HERE)]
    out: PathBuf,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
    /// Leave the agent alone: do not read its card.
    #[arg(long)]
    no_card: bool,
}

/// Performs the verb.
pub(super) fn perform(arguments: &Arguments) -> Result<Ending, Failure> {
    let is_printed = arguments.out == Path::new("-");
    if !is_printed && !arguments.force && arguments.out.symlink_metadata().is_ok() {
        return Err(Failure::new(
            format_args!("{} is already there", arguments.out.display()),
            "pass --force to replace it, or name another file with --out",
        ));
    }
    let wanted = arguments.wanted()?;
    alike(&wanted.agents)?;
    let known = if arguments.no_card { None } else { card(&wanted.agents) };
    let known = known.unwrap_or_default();
    let starter = wanted.starter(&arguments.out)?;
    let text = text(&starter, &known, &arguments.out);
    // What is written here can be loaded: said by the same reader, not by hope.
    let name = arguments.out.to_string_lossy();
    if let Err(report) = parse(&text, &name, &Environment::process().without_certificates()) {
        return Err(super::configuration::invalid(&arguments.out, &report));
    }
    if is_printed {
        terminal::print_bytes(text.as_bytes())?;
        return Ok(Ending::Done);
    }
    write_file(&arguments.out, &text, 0o644).map_err(|error| {
        Failure::new(
            format_args!("{} cannot be written: {error}", arguments.out.display()),
            "name a file in a directory you may write to with --out",
        )
    })?;
    let option = if arguments.out == Path::new(FILE_HERE) { String::new() } else { format!(" -c {name}") };
    terminal::mention(format_args!("{name} written, for {}\nrun it: attache run{option}", starter.url()));
    Ok(Ending::Done)
}

/// What somebody wants.
#[derive(Debug)]
struct Wanted {
    agents: Vec<Agent>,
    listen: Option<Listen>,
    tls: Option<Tls>,
}

impl Arguments {
    /// From the flags, or from answers where the agent is not among them.
    fn wanted(&self) -> Result<Wanted, Failure> {
        let wanted = Wanted { agents: self.to.clone(), listen: self.listen, tls: self.tls.clone() };
        if !wanted.agents.is_empty() {
            return Ok(wanted);
        }
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return Err(Failure::new(
                "nobody says where the agent is, and there is no terminal to ask",
                "name it, such as `attache init --to 127.0.0.1:9101`",
            ));
        }
        questions::ask(wanted, &mut io::stdin().lock(), &mut io::stderr().lock())
    }
}

impl Wanted {
    /// Settles the certificate too. Paths are those that the file will have.
    fn starter(self, out: &Path) -> Result<Starter, Failure> {
        let usual = Listen::here(if self.tls.is_some() { 8443 } else { 8080 });
        let listen = self.listen.unwrap_or(usual);
        let beside = out.parent().unwrap_or_else(|| Path::new(""));
        let certificate = match self.tls {
            None => None,
            Some(Tls::Development) => {
                let files = CertificateFiles::development(&beside.join("certs"), listen.ip())?;
                Some(files.seen_from(beside))
            }
            Some(Tls::Directory(directory)) => {
                // As it was typed, where it means the same in the file.
                let directory =
                    if beside == Path::new("") { directory } else { absolute(&directory).unwrap_or(directory) };
                Some(CertificateFiles::within(&directory)?)
            }
        };
        Ok(Starter { listen, certificate, agents: self.agents, metrics: None })
    }
}

/// What the first agent that answers says of itself. That none does is no reason not to begin.
fn card(agents: &[Agent]) -> Option<Known> {
    let runtime = runtime().ok()?;
    for agent in agents {
        match runtime.block_on(known::ask(agent)) {
            Ok(known) => {
                terminal::note(format_args!("{}: {}", agent.url(), known.said()));
                return Some(known);
            }
            Err(why) => terminal::note(format_args!("{}: no card was read ({why})", agent.url())),
        }
    }
    None
}

const HELP: &str = "\
Examples:
  attache init
  attache init --to 127.0.0.1:9101
  attache init --to 9101 --to 9102 --listen :8443 --tls dev --out gateway.yaml
  attache init --to https://agent.example.com --out -

Exit codes: 0 written, 1 not written, 2 wrong usage";
