//! The section `[models]`: what models see, how they are trained, and the view that adapts.

use std::path::PathBuf;
use std::time::Duration;

use tidegauge_flow::KeySchema;
use tidegauge_score::{OnsetSettings, RefitOptions, Views};

use super::device::{Device, device};
use super::drift::{Drift, drift};
use super::fallback::{Fallback, fallback};
use super::reader::Reader;
use super::sections::check_url;
use super::train::{self, Retrain, TrainRule, TrainSettings};

/// The alias of the models that judge.
pub const CHAMPION: &str = "champion";
/// The alias of the onset view's models.
pub const ONSET: &str = "onset";

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
    /// The alias of the champion's challenger, if there is one.
    pub challenger: Option<String>,
    pub fallback: Option<Fallback>,
    /// ONNX Runtime's library; `None`: as its environment variable says, or where the system looks.
    pub onnx_runtime: Option<PathBuf>,
    pub drift: Drift,
    pub device: Option<Device>,
}

impl Models {
    /// What has columns of its own in predictions.
    pub fn views(&self) -> Views {
        Views { onset: self.onset.is_some(), challenger: self.challenger.is_some() }
    }

    /// The alias of the models of groups; `None` without groups.
    pub fn group_alias(&self) -> Option<&str> {
        let fallback = self.fallback.as_ref().filter(|f| !f.settings.group.is_empty());
        fallback.map(|fallback| fallback.alias.as_str())
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

/// `key` is there when it could be read.
pub(super) fn models(reader: &mut Reader, key: Option<&KeySchema>) -> Models {
    let url = reader.text("models.url");
    if let Some(url) = &url {
        check_url(reader, "models.url", url);
    }
    let alias = alias(reader, "models.alias", CHAMPION);
    let onset = onset(reader);
    let train = train::train(reader, "models.train.", &TrainSettings::default());
    let challenger = challenger(reader);
    let fallback = fallback(reader, key);
    let of_onset = onset.as_ref().map(|onset| onset.alias.as_str());
    let of_fallback = fallback.as_ref().map(|fallback| fallback.alias.as_str());
    each_once(
        reader,
        &[
            ("models.alias", Some(&alias)),
            ("models.onset.alias", of_onset),
            ("models.challenger.alias", challenger.as_deref()),
            ("models.fallback.alias", of_fallback),
        ],
    );
    let others = [("models.onset.alias", of_onset), ("models.fallback.alias", of_fallback)];
    let retrain = train::retrain(reader, &alias, &others);
    Models {
        url,
        features: reader.texts("models.features").unwrap_or_default(),
        min_readings: reader.integer("models.min_readings", 1, 1..=1_000_000),
        rules: train::rules(reader, &train, key),
        last: train::last(reader),
        retrain,
        train,
        alias,
        onset,
        challenger,
        fallback,
        onnx_runtime: reader.text("models.onnx_runtime").map(PathBuf::from),
        drift: drift(reader),
        device: device(reader),
    }
}

/// The aliases of different roles differ.
fn each_once(reader: &mut Reader, aliases: &[(&str, Option<&str>)]) {
    for (i, (key, alias)) in aliases.iter().enumerate() {
        let before = aliases[..i].iter().find(|(_, other)| alias.is_some() && other == alias);
        if let (Some((other, _)), Some(alias)) = (before, alias) {
            reader.mistake(key, format!("is {alias:?}, as {other} is"));
        }
    }
}

/// There when its alias is.
fn challenger(reader: &mut Reader) -> Option<String> {
    const KEY: &str = "models.challenger.alias";
    reader.text(KEY).map(|given| alias(reader, KEY, &given))
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
