//! What the gateway writes to, held against everything it reads and against each other: nothing may be written over.

use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use super::Scope;
use crate::config::files::Identity;
use crate::config::model::{AdminAddress, Config, LogOutput};
use crate::config::node::{Step, below, steps};
use crate::config::report::Diagnostic;
use crate::config::written::{behind_links, is_foreign, lock_of};

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// Another is put in its place.
    Replace,
    Append,
    /// A socket is bound.
    Bind,
}

/// A file that is written.
struct Output<'a> {
    key: &'static str,
    /// Which of several.
    index: usize,
    path: &'a Path,
    /// The file itself, and the one that locks it.
    places: Vec<Identity>,
    act: Act,
}

/// The key of access logs.
const ACCESS_LOG: &str = "accessLog.output";
/// The key of what is kept for a start with a broken configuration.
const LAST_GOOD: &str = "reload.lastGoodFile";

/// Refuses to write over what was read, to where it would be read, or twice to the same place. Looks through links.
pub(super) fn check(config: &Config, scope: &mut Scope<'_>) {
    if config.audit_log.output == Some(LogOutput::Otlp) {
        let hint = "write it to a file or to `syslog`, and let the collector read that";
        scope.invalid(&steps!["auditLog", "output"], "the audit log does not go to collectors", hint);
    }
    let file = |output: &'_ Option<LogOutput>| match output {
        Some(LogOutput::File(path)) => Some(path.clone()),
        _ => None,
    };
    let logs: Vec<_> = config.access_log.iter().map(|log| file(&log.output)).collect();
    let audit = file(&config.audit_log.output);
    let socket = match config.admin.as_ref().map(|admin| &admin.address) {
        Some(AdminAddress::Unix(path)) => Some(path),
        _ => None,
    };
    let table = [
        ("state.file", config.state_file.as_ref(), Act::Replace),
        (LAST_GOOD, config.reload.last_good_file.as_ref(), Act::Replace),
        ("auditLog.output", audit.as_ref(), Act::Append),
        ("admin.address", socket, Act::Bind),
    ];
    let logs = logs.iter().enumerate().map(|(index, path)| (ACCESS_LOG, index, path.as_ref(), Act::Append));
    let outputs: Vec<Output<'_>> = table
        .into_iter()
        .map(|(key, path, act)| (key, 0, path, act))
        .chain(logs)
        .filter_map(|(key, index, path, act)| {
            let path = path?;
            let at = scope.env.resolve(path);
            let mut places = vec![Identity::of(&at)];
            if act == Act::Replace {
                let real = behind_links(&at).unwrap_or(at);
                places.push(Identity::of(&lock_of(&real)));
            }
            Some(Output { key, index, path, places, act })
        })
        .collect();
    if outputs.is_empty() {
        return;
    }
    let read = scope.env.with_inputs(|inputs| inputs.known());
    for (index, output) in outputs.iter().enumerate() {
        let shared = outputs.iter().take(index).find(|other| {
            let is_one_of = |place: &Identity| output.places.iter().any(|own| own.is(place));
            other.places.iter().any(is_one_of)
        });
        let path = output.path.display();
        let diagnostic = if output.places.iter().any(|place| read.includes(place)) {
            Diagnostic::invalid(format!("`{path}` is where this configuration is read from"))
                .hint("keep it in a directory of its own, such as /var/lib/attache")
        } else if let Some(other) = shared {
            let message = format!("`{path}` is what `{}` writes to", other.key);
            Diagnostic::invalid(message).hint("each needs a file of its own")
        } else if let Some(what) = unfit(&scope.env.resolve(output.path), output.act) {
            Diagnostic::invalid(format!("`{path}` is {what}")).hint("name a file, or one that is not there yet")
        } else if output.key == LAST_GOOD && is_foreign(&scope.env.resolve(output.path)).unwrap_or(false) {
            let message = format!("`{path}` is there and was not written by attache");
            Diagnostic::invalid(message).hint("name another file, or move that one away")
        } else {
            continue;
        };
        let at = match output.key {
            ACCESS_LOG => below(&scope.one_of_section(&steps!["accessLog"], output.index), "output"),
            key => key.split('.').map(Step::from).collect(),
        };
        scope.add(&at, diagnostic);
    }
}

/// What is there instead of a file, if anything.
fn unfit(path: &Path, act: Act) -> Option<&'static str> {
    let kind = std::fs::metadata(path).ok()?.file_type();
    match act {
        // The socket is looked at when it is bound.
        Act::Bind => None,
        _ if kind.is_dir() => Some("a directory"),
        // A terminal or a pipe with a reader can be written to.
        Act::Append => kind.is_block_device().then_some("a device"),
        Act::Replace if kind.is_file() => None,
        Act::Replace => Some("no regular file"),
    }
}
