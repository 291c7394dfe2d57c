//! `attache certs`: certificates to develop with.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::certificates::{Development, Files};
use super::{Ending, Failure, terminal};

/// Arguments of `attache certs`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, after_help = "Example:\n  attache certs dev --out certs")]
pub(super) struct Arguments {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// Make an authority and a server certificate for development.
    Dev(Dev),
}

#[derive(Debug, Args)]
#[command(after_help = DEV_HELP)]
struct Dev {
    /// Directory for ca.crt, gateway.crt and gateway.key.
    #[arg(long, value_name = "DIR", default_value = "certs")]
    out: PathBuf,
    /// A name or address to certify, besides localhost, 127.0.0.1 and ::1; may be repeated.
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// Replace files that are there.
    #[arg(long)]
    force: bool,
    /// Do nothing when all three files are there, for set-ups that run this at every start.
    #[arg(long, conflicts_with = "force")]
    if_missing: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Performs the verb.
pub(super) fn perform(arguments: Arguments) -> Result<Ending, Failure> {
    match arguments.kind {
        Kind::Dev(dev) => make(&dev),
    }
}

fn make(dev: &Dev) -> Result<Ending, Failure> {
    let files = Files::within(&dev.out);
    let existing = files.existing();
    if dev.if_missing && existing.len() == 3 {
        if dev.json {
            return told(&files, false);
        }
        terminal::mention(format_args!("{} holds all three files, nothing to do", dev.out.display()));
        return Ok(Ending::Done);
    }
    if let Some(first) = existing.first().filter(|_| !dev.force) {
        return Err(Failure::new(
            format_args!("{} is already there", first.display()),
            "pass --force to replace it, or another directory with --out",
        ));
    }
    let made = Development::make(&dev.host).map_err(|error| {
        Failure::new(
            format_args!("no certificate could be made: {error}"),
            "give each --host a DNS name, a wildcard such as *.example.com, or an IP address",
        )
    })?;
    let written = std::fs::create_dir_all(&dev.out).and_then(|()| made.write(&files));
    written.map_err(|error| {
        Failure::new(
            format_args!("{} cannot be written to: {error}", dev.out.display()),
            "choose a directory you may write to with --out",
        )
    })?;
    if dev.json {
        return told(&files, true);
    }
    terminal::mention(format_args!(
        "{}  authority, for clients (curl --cacert)\n{}  certificate for the gateway (tls.certificates[].certFile)\n\
         {}  its private key, mode 0600 (tls.certificates[].keyFile)\nvalid for a year; for development only",
        files.authority.display(),
        files.chain.display(),
        files.key.display()
    ));
    Ok(Ending::Done)
}

/// Where the files are, for programs, and whether they are new.
fn told(files: &Files, is_new: bool) -> Result<Ending, Failure> {
    terminal::print(serde_json::json!({
        "authority": files.authority,
        "certificate": files.chain,
        "key": files.key,
        "isNew": is_new,
    }))?;
    Ok(Ending::Done)
}

const DEV_HELP: &str = "\
Examples:
  attache certs dev
  attache certs dev --out certs --host agents.test --host '*.agents.test'
  attache certs dev --force
  attache certs dev --out /certs --if-missing";
