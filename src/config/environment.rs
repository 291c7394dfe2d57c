//! Everything the configuration takes from outside its own text: variables, files, the time. Injected, so that a test
//! needs neither a process environment nor a clock.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::files::{read_regular, too_large};
use super::inputs::Inputs;

type Variables = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Where variables, files and the time come from.
#[derive(Clone)]
pub struct Environment {
    variables: Arc<Variables>,
    root: PathBuf,
    now: SystemTime,
    mounts: Option<String>,
    inputs: Arc<Mutex<Inputs>>,
    lenient: bool,
    /// A text in the place of a file.
    text: Option<(PathBuf, Arc<str>)>,
}

impl Environment {
    /// The process's own environment, working directory and clock.
    #[must_use]
    pub fn process() -> Self {
        Self {
            variables: Arc::new(|name| std::env::var(name).ok()),
            mounts: std::fs::read_to_string("/proc/self/mountinfo").ok(),
            ..Self::empty(SystemTime::now())
        }
    }

    /// No variables; files relative to the working directory; the given time.
    #[must_use]
    pub fn empty(now: SystemTime) -> Self {
        Self {
            variables: Arc::new(|_| None),
            root: PathBuf::new(),
            now,
            mounts: None,
            inputs: Arc::default(),
            lenient: false,
            text: None,
        }
    }

    /// Adds a variable, over one of the same name.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        let (name, value, others) = (name.to_owned(), value.to_owned(), self.variables);
        self.variables = Arc::new(move |asked| if asked == name { Some(value.clone()) } else { others(asked) });
        self
    }

    /// Puts a text in the place of the file at `path`.
    #[must_use]
    pub(super) fn with_text(mut self, path: &Path, text: &Arc<str>) -> Self {
        self.text = Some((path.to_owned(), Arc::clone(text)));
        self
    }

    /// Reads relative paths from `root` instead of the working directory.
    #[must_use]
    pub fn with_root(mut self, root: impl Into<PathBuf>) -> Self {
        self.root = root.into();
        self
    }

    /// Certificates that cannot be read are a warning: nothing will be served with them.
    #[must_use]
    pub fn without_certificates(mut self) -> Self {
        self.lenient = true;
        self
    }

    /// Whether it does without certificates.
    pub(super) fn is_lenient(&self) -> bool {
        self.lenient
    }

    /// Uses this text as `/proc/self/mountinfo`.
    #[must_use]
    pub fn with_mounts(mut self, mounts: &str) -> Self {
        self.mounts = Some(mounts.to_owned());
        self
    }

    /// The same with an empty memory of what was read.
    #[must_use]
    pub fn afresh(&self) -> Self {
        Self { inputs: Arc::default(), ..self.clone() }
    }

    /// Every file and directory read so far through this environment and its clones.
    #[must_use]
    pub fn inputs(&self) -> Inputs {
        self.with_inputs(|inputs| inputs.clone())
    }

    pub(super) fn with_inputs<T>(&self, act: impl FnOnce(&mut Inputs) -> T) -> T {
        act(&mut self.inputs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The time certificates are judged by.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.now
    }

    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.variables)(name)
    }

    /// Where a path leads.
    pub(super) fn resolve(&self, path: &Path) -> PathBuf {
        self.root.join(path)
    }

    /// Reads at most `limit` bytes of a regular file; more is an error. That it was read is remembered.
    pub(super) fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        if let Some((_, text)) = self.text.as_ref().filter(|(name, _)| name == path) {
            return if text.len() > limit { Err(too_large(limit)) } else { Ok(text.as_bytes().into()) };
        }
        let path = self.resolve(path);
        let outcome = read_regular(&path, limit);
        let bytes = outcome.as_deref().ok();
        self.with_inputs(|inputs| inputs.file(&path, bytes, limit));
        outcome
    }

    /// Whether this very file is a mount point, so that a rename in its directory outside never arrives.
    pub(super) fn is_mounted_alone(&self, path: &Path) -> bool {
        let Some(mounts) = &self.mounts else { return false };
        let Ok(path) = std::path::absolute(self.resolve(path)) else { return false };
        mounts
            .lines()
            .filter_map(|line| line.split(' ').nth(4))
            .any(|point| Path::new(&point.replace("\\040", " ")) == path)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Variables may hold secrets.
        f.debug_struct("Environment").field("root", &self.root).field("now", &self.now).finish_non_exhaustive()
    }
}
