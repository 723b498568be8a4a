//! Column names that tidegauge gives; a query may not use them as aliases.

pub const WINDOW_START: &str = "window_start";
pub const WINDOW_END: &str = "window_end";
pub const SCORE: &str = "score";
pub const THRESHOLD: &str = "threshold";
pub const IS_ANOMALY: &str = "is_anomaly";
pub const SEVERITY: &str = "severity";
pub const STATUS: &str = "status";
pub const REASON: &str = "reason";
pub const MODEL_SET: &str = "model_set";
pub const REVISION: &str = "revision";
pub const N_READINGS: &str = "n_readings";
pub const LANE: &str = "lane";
pub const EPOCH: &str = "epoch";
pub const NOVELTY: &str = "novelty";
pub const ALARM: &str = "alarm";
pub const NOVELTY_SET: &str = "novelty_set";
pub const CHALLENGER_SCORE: &str = "challenger_score";
pub const CHALLENGER_IS_ANOMALY: &str = "challenger_is_anomaly";
pub const CHALLENGER_SET: &str = "challenger_set";

/// The columns of the table of anomaly events, after the key columns.
pub const EVENT_ID: &str = "event_id";
pub const EVENT_STATE: &str = "state";
pub const EVENT_START: &str = "start";
pub const EVENT_END: &str = "end";
pub const EVENT_PEAK_AT: &str = "peak_at";
pub const EVENT_PEAK_SEVERITY: &str = "peak_severity";
pub const EVENT_PEAK_SCORE: &str = "peak_score";
pub const EVENT_WINDOWS: &str = "windows";

/// The states of an event.
pub const EVENT_OPEN: &str = "open";
pub const EVENT_CLOSED: &str = "closed";

/// What a key column may not be called where there are events; `reason`, `model_set`, `lane` and `epoch` it
/// may not be called anyway.
pub const OF_EVENTS: [&str; 8] = [
    EVENT_ID,
    EVENT_STATE,
    EVENT_START,
    EVENT_END,
    EVENT_PEAK_AT,
    EVENT_PEAK_SEVERITY,
    EVENT_PEAK_SCORE,
    EVENT_WINDOWS,
];

/// All names that a query may not use.
pub const RESERVED: [&str; 19] = [
    WINDOW_START,
    WINDOW_END,
    SCORE,
    THRESHOLD,
    IS_ANOMALY,
    SEVERITY,
    STATUS,
    REASON,
    MODEL_SET,
    REVISION,
    N_READINGS,
    LANE,
    EPOCH,
    NOVELTY,
    ALARM,
    NOVELTY_SET,
    CHALLENGER_SCORE,
    CHALLENGER_IS_ANOMALY,
    CHALLENGER_SET,
];
