//! The sources of configurations. A source returns its whole configuration when it is asked, and asks for a reload when
//! that may have changed. A reload does not know the kind of source: another kind is another file and another variant
//! here.

mod files;
mod watch;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use self::files::Files;
use crate::admin::control::AdminControl;
use crate::config::model::{Config, Reload};
use crate::config::{Document, Inputs, OpenedAt, Remains, Report};

/// Where configurations come from.
#[derive(Debug)]
pub enum Source {
    /// A file, a folder of them, or a text, with all that they include.
    Files {
        /// Where it is.
        document: Document,
        /// What was found there when it was read last.
        inputs: Inputs,
    },
}

/// A source that is followed: asked for what it holds, and watched.
#[derive(Debug)]
pub(super) enum Followed {
    Files(Files),
}

/// The task that watches a source.
pub(super) type Watching = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Followed {
    /// Begins to follow, and what makes the task that watches.
    pub(super) fn begin(
        source: Source,
        settings: Reload,
        control: AdminControl,
    ) -> (Self, impl Fn() -> Watching + Send + Sync + 'static) {
        match source {
            Source::Files { document, inputs } => {
                let (files, watch) = Files::new(document, settings, inputs, control);
                (Self::Files(files), watch)
            }
        }
    }

    /// A function that reads the whole source. It takes long, so only a thread without other work calls it.
    pub(super) fn reader(&self) -> impl FnOnce(&Config) -> Held + Send + 'static {
        match self {
            Self::Files(files) => files.reader(),
        }
    }

    /// Watches for anything else than what was read last, with the settings in force.
    pub(super) fn watch_from(&self, settings: &Reload, revision: Revision) {
        match (self, revision) {
            (Self::Files(files), Revision::Files(inputs)) => files.look_at(settings, inputs),
        }
    }

    /// The files that were read last.
    pub(super) fn inputs(&self) -> Arc<Inputs> {
        match self {
            Self::Files(files) => files.inputs(),
        }
    }
}

/// What a source holds.
pub(super) struct Held {
    pub(super) outcome: Result<Sound, Arc<Report>>,
    /// What is not news any more.
    pub(super) revision: Revision,
    /// Where and what to write down when it is taken.
    pub(super) kept: Option<(PathBuf, String)>,
    /// What the text was parsed into. That of thousands of routes takes as long to free as to build some of what comes
    /// from it: that is left for when nobody waits for the reload any more.
    pub(super) tree: Option<Remains>,
}

/// How far a source was read.
pub(super) enum Revision {
    Files(Inputs),
}

/// A configuration to put in force.
pub(super) struct Sound {
    pub(super) config: Config,
    pub(super) warnings: Option<Arc<Report>>,
    /// For what may still be wrong with its listeners.
    pub(super) places: OpenedAt,
}
