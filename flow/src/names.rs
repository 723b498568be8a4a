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

/// All of them.
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
