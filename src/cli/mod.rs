//! The command line: one file per verb. A verb parses its arguments, calls the rooms that do the work and says in one
//! line what to do when it fails. Nothing here decides what happens to traffic.

mod asked;
mod card;
mod certificates;
mod certs;
mod completions;
mod config;
mod configuration;
mod demo;
mod explain;
mod failure;
mod healthcheck;
mod init;
mod live;
mod man;
mod migrate;
mod operator;
mod proxy;
mod reload;
mod rollout;
mod run;
mod said;
mod starter;
mod summary;
mod table;
mod terminal;
mod validate;
mod version;
mod words;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use failure::Failure;

/// A Layer-7 gateway and load balancer for A2A agents.
#[derive(Debug, Parser)]
#[command(
    name = "attache",
    version,
    about,
    max_term_width = 100,
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = AFTER_HELP
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the gateway.
    Run(run::Arguments),
    /// Run a gateway in front of an agent, without a file.
    Proxy(proxy::Arguments),
    /// Write a first configuration, with comments.
    Init(init::Arguments),
    /// Turn a configuration of another proxy into one of attache, with notes.
    Migrate(migrate::Arguments),
    /// See a gateway work: certificates, agents and traffic included.
    Demo(demo::Arguments),
    /// Have a running gateway read its configuration again, and say what that changed.
    Reload(reload::Arguments),
    /// Show how a running gateway is, with its clusters and endpoints.
    Status(live::status::Arguments),
    /// Show routes and endpoints of a running gateway in a live table.
    Top(live::top::Arguments),
    /// Show requests of a running gateway as they end.
    Tail(live::tail::Arguments),
    /// Show open streams of a running gateway.
    Streams(live::streams::Arguments),
    /// Show tasks that go on at agents, or where a task is.
    Tasks(live::tasks::Arguments),
    /// Show the agents of a running gateway, and what their cards say.
    Agents(live::agents::Arguments),
    /// Take an endpoint out of service and wait until nothing runs on it, or bring it back.
    Drain(live::drain::Arguments),
    /// Look at splits and rollouts of a running gateway, and move them.
    Rollout(rollout::Arguments),
    /// Check a configuration and show every problem.
    Validate(validate::Arguments),
    /// Show the configuration or its schema.
    Config(config::Arguments),
    /// Say which route a request takes, why, and what happens to it.
    Explain(explain::Arguments),
    /// Fetch an agent's card, check it and explain it.
    Card(card::Arguments),
    /// Ask a running gateway whether it is ready.
    Healthcheck(healthcheck::Arguments),
    /// Make certificates.
    Certs(certs::Arguments),
    /// Print the version.
    Version(version::Arguments),
    /// Print a completion script for a shell.
    Completions(completions::Arguments),
    /// Print or write the manual pages.
    Man(man::Arguments),
}

/// How a verb ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// All well: exit code 0.
    Done,
    /// The check or run failed, and the verb has reported it: exit code 1.
    Failed,
    /// The gateway stopped and had to cut work off: exit code 3.
    WorkCut,
}

/// Runs one command line and returns the exit code: 0 done, 1 failed or invalid, 2 wrong usage, 3 stopped with work cut
/// off.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(usage) => {
            let printed = usage.print().and_then(|()| io::stdout().flush());
            return match (usage.exit_code(), terminal::written(printed)) {
                // A help text is a result; the message about wrong usage is not.
                (0, Err(failure)) => failed(&failure),
                (code, _) => ExitCode::from(u8::try_from(code).unwrap_or(2)),
            };
        }
    };
    match cli.verb.perform() {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::Failed) => ExitCode::from(1),
        Ok(Ending::WorkCut) => ExitCode::from(3),
        Err(failure) => failed(&failure),
    }
}

fn failed(failure: &Failure) -> ExitCode {
    terminal::note(failure);
    ExitCode::from(1)
}

impl Verb {
    fn perform(self) -> Result<Ending, Failure> {
        match self {
            Self::Run(arguments) => run::perform(&arguments),
            Self::Proxy(arguments) => proxy::perform(&arguments),
            Self::Init(arguments) => init::perform(&arguments),
            Self::Migrate(arguments) => migrate::perform(&arguments),
            Self::Demo(arguments) => demo::perform(&arguments),
            Self::Reload(arguments) => reload::perform(&arguments),
            Self::Status(arguments) => live::status::perform(&arguments),
            Self::Top(arguments) => live::top::perform(&arguments),
            Self::Tail(arguments) => live::tail::perform(&arguments),
            Self::Streams(arguments) => live::streams::perform(&arguments),
            Self::Tasks(arguments) => live::tasks::perform(&arguments),
            Self::Agents(arguments) => live::agents::perform(&arguments),
            Self::Drain(arguments) => live::drain::perform(&arguments),
            Self::Rollout(arguments) => rollout::perform(&arguments),
            Self::Validate(arguments) => validate::perform(&arguments),
            Self::Config(arguments) => config::perform(&arguments),
            Self::Explain(arguments) => explain::perform(&arguments),
            Self::Card(arguments) => card::perform(&arguments),
            Self::Healthcheck(arguments) => healthcheck::perform(&arguments),
            Self::Certs(arguments) => certs::perform(arguments),
            Self::Version(arguments) => version::perform(&arguments),
            Self::Completions(arguments) => completions::perform(&arguments, Cli::command()),
            Self::Man(arguments) => man::perform(&arguments, Cli::command()),
        }
    }
}

/// The runtime of verbs that wait for something: one thread, because the gateway brings its own.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| {
        Failure::new(format_args!("the runtime does not start: {error}"), "raise the limits of files and threads")
    })
}

const AFTER_HELP: &str = "\
Examples:
  attache demo                          see it work, nothing needed
  attache proxy --to 127.0.0.1:9101     a gateway in front of your agent, no file needed
  attache validate -c gateway.yaml      check a configuration
  attache run -c gateway.yaml           run it

Exit codes: 0 done, 1 failed or invalid, 2 wrong usage, 3 stopped with work cut off";

#[cfg(test)]
mod tests {
    use super::*;

    fn every_verb(command: &clap::Command, path: &str, check: &mut impl FnMut(&str, &clap::Command)) {
        for verb in command.get_subcommands() {
            let path = format!("{path} {}", verb.get_name());
            check(&path, verb);
            every_verb(verb, &path, check);
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_has_an_example_and_one_line_about_it() {
        every_verb(&Cli::command(), "attache", &mut |path, verb| {
            let examples = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(examples.contains("Example"), "`{path} --help` has no example");
            assert!(examples.contains(path), "the example of `{path}` does not show it");
            assert!(verb.get_about().is_some(), "`{path}` says nothing about itself");
        });
    }
}
