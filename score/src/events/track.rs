//! One sensor's way into an event and out of it: a pure machine over its scored windows, in order of time.

/// When an event opens and closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Anomalous windows that open an event, 1 to `of`.
    pub open: u32,
    /// Of so many scored windows in a row, 1 to [`OF_MOST`].
    pub of: u32,
    /// When it has been quiet for long enough.
    pub close: Quiet,
    /// Event time without a scored window after which nothing that came before counts any more, microseconds.
    pub silence_us: i64,
}

/// The longest stretch of windows that may be looked at.
pub const OF_MOST: u32 = 1_000;

/// How much quiet closes an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quiet {
    /// So many scored windows in a row without an anomaly.
    Windows(u32),
    /// A scored window without an anomaly that ends so long after the last anomalous one, microseconds.
    For(i64),
}

/// A scored window that is anomalous.
#[derive(Debug, Clone, PartialEq)]
pub struct Anomaly {
    pub start_us: i64,
    pub end_us: i64,
    pub score: f64,
    pub severity: Option<f64>,
    pub reason: Option<Box<str>>,
    pub model_set: Option<u64>,
}

/// An event as it is known so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The start of its first anomalous window.
    pub start_us: i64,
    /// The end of its last one.
    pub end_us: i64,
    /// Its worst window: of the greatest severity, then of the highest score, then the earliest.
    pub peak: Anomaly,
    /// Anomalous windows in it.
    pub windows: u64,
}

/// What a window, or silence, has changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Opened(Event),
    Closed(Event),
}

/// What is remembered of a sensor. One of which there is nothing to remember has none.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// The end of its newest scored window.
    pub(super) last_us: i64,
    /// Scored windows since the track began; its newest has this number.
    pub(super) seen: u64,
    /// Anomalous windows with their numbers that may still open an event, fewer than [`Rules::open`].
    pub(super) pending: Vec<(u64, Anomaly)>,
    pub(super) event: Option<Box<Event>>,
    /// Scored windows since the event's last anomalous one.
    pub(super) quiet: u32,
}

impl Event {
    fn begin(first: &Anomaly) -> Self {
        let (start_us, end_us) = (first.start_us, first.end_us);
        Self { start_us, end_us, peak: first.clone(), windows: 0 }
    }

    fn add(&mut self, anomaly: Anomaly) {
        self.end_us = anomaly.end_us;
        self.windows += 1;
        if anomaly.is_worse_than(&self.peak) {
            self.peak = anomaly;
        }
    }
}

impl Anomaly {
    /// A severity that is not known is less than any.
    fn is_worse_than(&self, other: &Self) -> bool {
        let known = |a: &Self| a.severity.unwrap_or(f64::NEG_INFINITY);
        let by_severity = known(self).total_cmp(&known(other));
        by_severity.then(self.score.total_cmp(&other.score)).is_gt()
    }
}

impl Track {
    /// The track of a sensor of which nothing was remembered.
    pub(super) fn new(before_us: i64) -> Self {
        Self { last_us: before_us, seen: 0, pending: Vec::new(), event: None, quiet: 0 }
    }

    /// Takes the next scored window, which has ended at `end_us`. One that is not later than the newest
    /// has been decided upon already.
    pub(super) fn step(
        &mut self,
        end_us: i64,
        anomaly: Option<Anomaly>,
        rules: &Rules,
        changes: &mut impl FnMut(Change),
    ) {
        if end_us <= self.last_us {
            return;
        }
        if self.has_been_silent(rules, end_us) {
            self.end(changes);
        }
        self.last_us = end_us;
        self.seen += 1;
        match (&mut self.event, anomaly) {
            (Some(event), Some(anomaly)) => {
                event.add(anomaly);
                self.quiet = 0;
            }
            (Some(event), None) => {
                self.quiet = self.quiet.saturating_add(1);
                let closes = match rules.close {
                    Quiet::Windows(windows) => self.quiet >= windows,
                    Quiet::For(us) => end_us.saturating_sub(event.end_us) >= us,
                };
                if closes {
                    self.end(changes);
                }
            }
            (None, anomaly) => self.wait(anomaly, rules, changes),
        }
    }

    /// Whether a window that ends at `now_us` comes too late to have to do with what is remembered.
    pub(super) fn has_been_silent(&self, rules: &Rules, now_us: i64) -> bool {
        now_us.saturating_sub(self.last_us) > rules.silence_us
    }

    /// Closes the event, if there is one, and forgets: a window counts for one event.
    pub(super) fn end(&mut self, changes: &mut impl FnMut(Change)) {
        if let Some(event) = self.event.take() {
            changes(Change::Closed(*event));
        }
        self.pending.clear();
        self.quiet = 0;
    }

    /// Whether nothing is left to remember.
    pub(super) fn is_idle(&self) -> bool {
        self.event.is_none() && self.pending.is_empty()
    }

    fn wait(&mut self, anomaly: Option<Anomaly>, rules: &Rules, changes: &mut impl FnMut(Change)) {
        let seen = self.seen;
        self.pending.retain(|(at, _)| seen - at < u64::from(rules.of));
        let Some(anomaly) = anomaly else { return };
        self.pending.push((seen, anomaly));
        if self.pending.len() < rules.open as usize {
            return;
        }
        let mut event = Event::begin(&self.pending[0].1);
        self.pending.drain(..).for_each(|(_, anomaly)| event.add(anomaly));
        self.quiet = 0;
        changes(Change::Opened(event.clone()));
        self.event = Some(Box::new(event));
    }
}
