//! The level of the gateway's own log while it runs: as configured, or as an operator wants it for a while.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Puts a level in force.
pub type SetLevel = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// The level. A process that does not log by this gateway's settings has nothing to set.
#[derive(Default)]
pub struct LogLevel(Mutex<State>);

#[derive(Default)]
struct State {
    set: Option<SetLevel>,
    configured: String,
    chosen: Option<(String, Option<Instant>)>,
}

/// How it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelNow {
    /// What is in force.
    pub level: String,
    /// What is configured.
    pub configured: String,
    /// How long the level lasts that an operator chose, where it has an end.
    pub left: Option<Duration>,
}

impl LogLevel {
    /// This sets it; `configured` is in force.
    pub fn install(&self, configured: &str, set: SetLevel) {
        *self.state() = State { set: Some(set), configured: configured.to_owned(), chosen: None };
    }

    /// Whether there is anything to set.
    #[must_use]
    pub fn can_be_set(&self) -> bool {
        self.state().set.is_some()
    }

    /// Another level is configured. It ends what an operator chose.
    pub fn configure(&self, level: &str) {
        let mut state = self.state();
        if state.configured != level {
            level.clone_into(&mut state.configured);
            state.go_back();
        }
    }

    /// An operator wants this level, until `until` or the next change of the configured one; `None` for the configured
    /// one.
    ///
    /// # Errors
    /// When it is no level, or nothing here can be set.
    pub fn choose(&self, level: Option<&str>, until: Option<Instant>) -> Result<(), String> {
        let mut state = self.state();
        let set = state.set.as_ref().ok_or("this process has no log whose level could be set")?;
        let Some(level) = level else {
            state.go_back();
            return Ok(());
        };
        set(level)?;
        state.chosen = Some((level.to_owned(), until));
        Ok(())
    }

    /// Ends what an operator chose when its time is over.
    pub fn tick(&self, now: Instant) {
        let mut state = self.state();
        let is_over = |chosen: &(String, Option<Instant>)| chosen.1.is_some_and(|until| until <= now);
        if state.chosen.as_ref().is_some_and(is_over) {
            state.go_back();
        }
    }

    /// How it is.
    #[must_use]
    pub fn now(&self, now: Instant) -> LevelNow {
        let state = self.state();
        let (level, until) = state.chosen.clone().unwrap_or_else(|| (state.configured.clone(), None));
        let left = until.map(|until| until.saturating_duration_since(now));
        LevelNow { level, configured: state.configured.clone(), left }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn go_back(&mut self) {
        self.chosen = None;
        // What is configured was understood when it was configured.
        if let Some(set) = &self.set {
            set(&self.configured).ok();
        }
    }
}

impl fmt::Debug for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("LogLevel").field("configured", &state.configured).field("chosen", &state.chosen).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn level() -> (LogLevel, Arc<Mutex<Vec<String>>>) {
        let (level, said) = (LogLevel::default(), Arc::<Mutex<Vec<String>>>::default());
        let hears = Arc::clone(&said);
        let set = move |level: &str| {
            if level == "loud" {
                return Err("no level".to_owned());
            }
            hears.lock().unwrap().push(level.to_owned());
            Ok(())
        };
        level.install("info", Box::new(set));
        (level, said)
    }

    #[tokio::test(start_paused = true)]
    async fn a_chosen_level_ends_with_its_time_or_with_another_configuration() {
        let (level, said) = level();
        let now = Instant::now();
        level.choose(Some("debug"), Some(now + Duration::from_secs(60))).unwrap();
        assert_eq!(level.now(now).left, Some(Duration::from_secs(60)));
        level.tick(now + Duration::from_secs(59));
        assert_eq!(level.now(now).level, "debug");
        level.tick(now + Duration::from_secs(60));
        assert_eq!((level.now(now).level, level.now(now).left), ("info".to_owned(), None));
        level.choose(Some("trace"), None).unwrap();
        level.configure("info");
        assert_eq!(level.now(now).level, "trace", "nothing else is configured");
        level.configure("warn");
        assert_eq!(level.now(now).level, "warn");
        assert_eq!(*said.lock().unwrap(), ["debug", "info", "trace", "warn"]);
    }

    #[tokio::test]
    async fn what_is_no_level_changes_nothing() {
        let (level, _said) = level();
        assert_eq!(level.choose(Some("loud"), None), Err("no level".to_owned()));
        assert_eq!(level.now(Instant::now()).level, "info");
        assert!(LogLevel::default().choose(Some("info"), None).is_err(), "nothing to set");
    }
}
