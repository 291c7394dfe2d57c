//! Files as the source of configurations: read again when any of them, or of what they include, has another content.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::{self, Receiver, Sender};
use tokio::time::sleep;

use super::watch::changed;
use super::{Held, Revision, Sound, Watching};
use crate::admin::control::{AdminControl, NotDone};
use crate::admin::journal::Trigger;
use crate::config::model::{Config, Reload};
use crate::config::{self, Document, Inputs, Reading};

/// Where they are, and what the watch looks at.
#[derive(Debug)]
pub(in crate::gateway) struct Files {
    document: Document,
    looking_at: Sender<Look>,
}

/// What is watched, and how.
#[derive(Clone, Debug)]
struct Look {
    settings: Reload,
    inputs: Arc<Inputs>,
}

impl Files {
    /// Begins to follow, and what makes the task that watches.
    pub(super) fn new(
        document: Document,
        settings: Reload,
        inputs: Inputs,
        control: AdminControl,
    ) -> (Self, impl Fn() -> Watching + Send + Sync + 'static) {
        let inputs = Arc::new(inputs);
        let (looking_at, told) = watch::channel(Look { settings, inputs });
        let begin = move || -> Watching { Box::pin(watch(told.clone(), control.clone())) };
        (Self { document, looking_at }, begin)
    }

    /// What reads all of them.
    pub(super) fn reader(&self) -> impl FnOnce(&Config) -> Held + Send + use<> {
        let document = self.document.clone();
        move |running| read(&document, running)
    }

    /// Watches what was read last, with the settings in force.
    pub(super) fn look_at(&self, settings: &Reload, inputs: Inputs) {
        self.looking_at.send_replace(Look { settings: settings.clone(), inputs: Arc::new(inputs) });
    }

    /// What was read last.
    pub(super) fn inputs(&self) -> Arc<Inputs> {
        Arc::clone(&self.looking_at.borrow().inputs)
    }
}

/// Asks for a reload whenever what was read last has another content, whatever became of it.
async fn watch(mut told: Receiver<Look>, control: AdminControl) {
    loop {
        let look = told.borrow_and_update().clone();
        let change = async {
            if look.settings.watch {
                changed(&look.settings, &look.inputs).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            told = told.changed() => match told {
                Ok(()) => continue,
                Err(_gone) => return,
            },
            () = change => {}
        }
        match control.reload(Trigger::Watch).await {
            // The next look is told by then.
            Ok(_) => {}
            Err(NotDone::Busy) => sleep(BUSY).await,
            Err(NotDone::Stopping) => return,
        }
    }
}

fn read(document: &Document, running: &Config) -> Held {
    let Reading { outcome, inputs } = config::read(document.path(), &document.environment());
    let outcome = outcome.and_then(|loaded| loaded.in_place_of(running));
    let kept = outcome.as_ref().ok().and_then(|loaded| {
        let file = loaded.config.reload.last_good_file.clone()?;
        Some((file, loaded.standalone()))
    });
    let (outcome, tree) = match outcome {
        Ok(loaded) => {
            let places = loaded.places();
            let (config, warnings, tree) = loaded.into_parts();
            let warnings = (!warnings.is_empty()).then(|| Arc::new(warnings));
            let sound = Sound { config, warnings, places };
            (Ok(sound), Some(tree))
        }
        Err(report) => (Err(Arc::new(report)), None),
    };
    Held { outcome, revision: Revision::Files(inputs), kept, tree }
}

/// Before a look again, when others wait for the gateway already.
const BUSY: Duration = Duration::from_secs(1);
