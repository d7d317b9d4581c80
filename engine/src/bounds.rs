//! What one recipe may take: time, resources, and text in them. Ten thousand nodes fit; an endless loop cannot exhaust the machine.
use miette::Diagnostic;
use rhai::{Dynamic, Engine};
use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// The bounds of one recipe's evaluation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Real time: a script of costly operations could run for minutes before it reaches the limit on their number.
    pub time: Duration,
    /// Declared resources.
    pub resources: usize,
    /// Bytes of text in them.
    pub text: usize,
}

/// 10,000 nodes with fifty resources each, and 26 KB of text for each node.
pub(crate) const SHIPPED: Bounds = Bounds { time: Duration::from_secs(60), resources: 500_000, text: 256 << 20 };

/// A recipe that declares more than it may.
#[derive(Clone, Debug, thiserror::Error, Diagnostic)]
#[error("this recipe declares more than {most}")]
#[diagnostic(
    code(kthw::recipe::too_much),
    help("look for a loop that does not end; a large file is better taken by the node itself, or kept once and not for every node")
)]
pub(crate) struct TooMuch {
    most: String,
}

/// What a recipe has taken so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taken {
    resources: usize,
    text: usize,
}

impl Taken {
    /// Adds to it.
    pub fn add(&mut self, resources: usize, text: usize, bounds: &Bounds) -> Result<(), TooMuch> {
        self.resources += resources;
        self.text = self.text.saturating_add(text);
        if self.resources > bounds.resources {
            return Err(TooMuch { most: format!("{} resources", bounds.resources) });
        }
        if self.text > bounds.text {
            return Err(TooMuch { most: format!("{} MiB of text", bounds.text >> 20) });
        }
        Ok(())
    }
}

thread_local! {
    /// When the script that runs on this thread has to be finished, and how long it was given.
    static DEADLINE: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
}

/// Runs a script, which ends with an error when it takes longer than `time`.
pub(crate) fn within<T>(time: Duration, script: impl FnOnce() -> T) -> T {
    struct Before(Option<(Instant, Duration)>);
    impl Drop for Before {
        fn drop(&mut self) {
            DEADLINE.set(self.0);
        }
    }
    let _before = Before(DEADLINE.replace(Some((Instant::now() + time, time))));
    script()
}

/// Lets an engine look at the clock while it runs scripts.
pub(crate) fn watch_time(engine: &mut Engine) {
    // Asking for the time costs as much as a few operations.
    engine.on_progress(|operations| {
        let (end, time) = DEADLINE.get().filter(|_| operations % 64 == 0)?;
        (Instant::now() >= end).then(|| Dynamic::from(format!("the recipe was not evaluated within {} s", time.as_secs_f64())))
    });
}

/// Bytes of text in a value, however deep.
pub(crate) fn text_in(value: &Dynamic) -> usize {
    if let Ok(text) = value.as_immutable_string_ref() {
        return text.len();
    }
    if let Ok(items) = value.as_array_ref() {
        return items.iter().map(|item| size_of::<Dynamic>() + text_in(item)).sum();
    }
    if let Ok(map) = value.as_map_ref() {
        return map.iter().map(|(key, value)| key.len() + text_in(value)).sum();
    }
    value.as_blob_ref().map_or(0, |bytes| bytes.len())
}
