//! The section `[models]`: what models see, how they are trained, and the view that adapts.

use std::path::PathBuf;
use std::time::Duration;

use tidegauge_score::train::{ROWS_MOST, Threshold, TrainOptions};
use tidegauge_score::{Kind, OnsetSettings, RefitOptions};

use super::device::{Device, device};
use super::drift::{Drift, drift};
use super::reader::Reader;
use super::sections::check_url;

/// The alias of the onset view's models.
const ONSET: &str = "onset";

#[derive(Debug, Clone)]
pub struct Models {
    /// Where model sets live; `None`: inside the lake.
    pub url: Option<String>,
    pub alias: String,
    /// Empty: every numeric feature of the query.
    pub features: Vec<String>,
    pub min_readings: u64,
    pub train: TrainSettings,
    pub onset: Option<Onset>,
    /// ONNX Runtime's library; `None`: as its environment variable says, or where the system looks.
    pub onnx_runtime: Option<PathBuf>,
    pub drift: Drift,
    pub device: Option<Device>,
}

/// How models are trained, as far as it is said.
#[derive(Debug, Clone, Default)]
pub struct TrainSettings {
    pub kind: Kind,
    pub nu: Option<f64>,
    pub gamma: Option<f64>,
    pub rows_min: Option<usize>,
    pub rows_max: Option<usize>,
    pub unit_min: Option<f64>,
    pub threshold: Option<Threshold>,
}

impl TrainSettings {
    /// The options for models that see other rows than their own, or that don't.
    pub fn options(&self, in_context: bool) -> TrainOptions {
        let default = match (in_context, self.kind) {
            (true, Kind::OneClassSvm) => TrainOptions::in_context(),
            (false, _) | (true, Kind::Gaussian) => TrainOptions::default(),
        };
        TrainOptions {
            kind: self.kind,
            nu: self.nu.unwrap_or(default.nu),
            gamma: self.gamma.or(default.gamma),
            rows_min: self.rows_min.unwrap_or(default.rows_min),
            rows_max: self.rows_max.unwrap_or(default.rows_max),
            unit_min: self.unit_min.unwrap_or(default.unit_min),
            threshold: self.threshold.unwrap_or(default.threshold),
            ..default
        }
    }
}

/// The view that adapts.
#[derive(Debug, Clone)]
pub struct Onset {
    pub alias: String,
    pub settings: OnsetSettings,
    pub refit: RefitOptions,
    /// Whether `run` fits its models anew.
    pub fit: bool,
    /// How often it looks for models that are due.
    pub fit_every: Duration,
    pub fit_threads: usize,
}

pub(super) fn models(reader: &mut Reader) -> Models {
    let url = reader.text("models.url");
    if let Some(url) = &url {
        check_url(reader, "models.url", url);
    }
    let alias = alias(reader, "models.alias", "champion");
    let onset = onset(reader);
    if onset.as_ref().is_some_and(|onset| onset.alias == alias) {
        reader.mistake("models.onset.alias", format!("is {alias:?}, as models.alias is"));
    }
    Models {
        url,
        alias,
        features: reader.texts("models.features").unwrap_or_default(),
        min_readings: reader.integer("models.min_readings", 1, 1..=1_000_000),
        train: train(reader),
        onset,
        onnx_runtime: reader.text("models.onnx_runtime").map(PathBuf::from),
        drift: drift(reader),
        device: device(reader),
    }
}

fn alias(reader: &mut Reader, key: &str, default: &str) -> String {
    let alias = reader.text_or(key, default);
    let good = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if !(1..=64).contains(&alias.len()) || !alias.chars().all(good) {
        reader.mistake(key, format!("is {alias:?}, allowed are 1 to 64 letters, digits, - and _"));
    }
    alias
}

fn train(reader: &mut Reader) -> TrainSettings {
    let (rate, score) = ("models.train.false_alarm_rate", "models.train.threshold");
    let rate = reader.number(rate, 1e-6..=0.5).map(Threshold::FalseAlarmRate);
    let threshold = match (rate, reader.number(score, 1e-6..=1e6).map(Threshold::Score)) {
        (Some(_), Some(_)) => {
            reader.mistake(score, "stands beside false_alarm_rate: give one of them");
            rate
        }
        (rate, threshold) => rate.or(threshold),
    };
    let mut rows = |key: &str| {
        // 0 is outside the range, so it can only be the default.
        let rows = reader.integer(key, 0, 10..=ROWS_MOST as u64) as usize;
        (rows > 0).then_some(rows)
    };
    let (rows_min, rows_max) = (rows("models.train.rows_min"), rows("models.train.rows_max"));
    let kinds = [("one_class_svm", Kind::OneClassSvm), ("gaussian", Kind::Gaussian)];
    TrainSettings {
        kind: reader.one_of("models.train.kind", &kinds),
        nu: reader.number("models.train.nu", 1e-6..=0.5),
        gamma: reader.number("models.train.gamma", 1e-6..=1e6),
        rows_min,
        rows_max,
        unit_min: reader.number("models.train.unit_min", 1e-6..=1e6),
        threshold,
    }
}

/// There when its features are.
fn onset(reader: &mut Reader) -> Option<Onset> {
    let features = reader.texts("models.onset.features");
    let (settings, refit) = (OnsetSettings::default(), RefitOptions::default());
    let alias = alias(reader, "models.onset.alias", ONSET);
    let mut share = |name: &str, default: f64, range: std::ops::RangeInclusive<f64>| {
        reader.number(&format!("models.onset.{name}"), range).unwrap_or(default)
    };
    let refit = RefitOptions {
        nu: share("nu", refit.nu, 1e-6..=0.5),
        first: share("first_fit", refit.first, 0.01..=100.0),
        every: share("refit", refit.every, 0.01..=100.0),
        ..refit
    };
    let settings = OnsetSettings {
        threshold: share("threshold", settings.threshold, 0.0..=1.0),
        rest: share("rest", settings.rest, 0.0..=1000.0),
        discount: share("discount", settings.discount, 0.0..=1000.0),
        ..settings
    };
    let refit = RefitOptions {
        gamma: reader.number("models.onset.gamma", 1e-6..=1e6),
        sample: reader.integer("models.onset.sample", refit.sample as u64, 0..=2_500) as usize,
        ..refit
    };
    let fit = reader.switch("models.onset.fit", true);
    let often = Duration::from_millis(100)..=Duration::from_secs(86_400);
    let fit_every = reader.duration("models.onset.fit_every", "10s", often);
    let fit_threads = reader.integer("models.onset.fit_threads", 1, 1..=256) as usize;
    let rows = reader.integer("models.onset.rows", settings.rows, 10..=1_000_000);
    let features = features?;
    if let Err(error) = refit.check(rows) {
        reader.mistake("models.onset", error.to_string());
    }
    let settings = OnsetSettings { features, rows, ..settings };
    Some(Onset { alias, settings, refit, fit, fit_every, fit_threads })
}
