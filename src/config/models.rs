//! The section `[models]`: what models see, how they are trained, and the view that adapts.

use std::path::PathBuf;
use std::time::Duration;

use tidegauge_flow::KeySchema;
use tidegauge_score::{OnsetSettings, RefitOptions};

use super::reader::Reader;
use super::sections::check_url;
use super::train::{self, Retrain, TrainRule, TrainSettings};

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
    /// Sensors that are trained otherwise: the first rule that holds counts.
    pub rules: Vec<TrainRule>,
    /// How far back training on the lake looks when nobody says from where.
    pub last: Option<Duration>,
    pub retrain: Option<Retrain>,
    pub onset: Option<Onset>,
    /// ONNX Runtime's library; `None`: as its environment variable says, or where the system looks.
    pub onnx_runtime: Option<PathBuf>,
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

pub(super) fn models(reader: &mut Reader, key: Option<&KeySchema>) -> Models {
    let url = reader.text("models.url");
    if let Some(url) = &url {
        check_url(reader, "models.url", url);
    }
    let alias = alias(reader, "models.alias", "champion");
    let onset = onset(reader);
    if onset.as_ref().is_some_and(|onset| onset.alias == alias) {
        reader.mistake("models.onset.alias", format!("is {alias:?}, as models.alias is"));
    }
    let train = train::train(reader, "models.train.", &TrainSettings::default());
    Models {
        url,
        features: reader.texts("models.features").unwrap_or_default(),
        min_readings: reader.integer("models.min_readings", 1, 1..=1_000_000),
        rules: train::rules(reader, &train, key),
        last: train::last(reader),
        retrain: train::retrain(reader, &alias, onset.as_ref().map(|onset| onset.alias.as_str())),
        train,
        alias,
        onset,
        onnx_runtime: reader.text("models.onnx_runtime").map(PathBuf::from),
    }
}

pub(super) fn alias(reader: &mut Reader, key: &str, default: &str) -> String {
    let alias = reader.text_or(key, default);
    let good = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if !(1..=64).contains(&alias.len()) || !alias.chars().all(good) {
        reader.mistake(key, format!("is {alias:?}, allowed are 1 to 64 letters, digits, - and _"));
    }
    alias
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
