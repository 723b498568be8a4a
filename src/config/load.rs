//! Where settings come from: the file, `TIDEGAUGE_…` variables, `--set` flags.

use std::collections::BTreeMap;
use std::path::Path;

use super::reader::{Mistake, Reader};
use super::{Config, Mistakes, sections};

const SECTIONS: [&str; 8] =
    ["source", "event", "window", "models", "events", "lake", "limits", "http"];

/// The sections within sections, but for that of Kafka's own settings.
const INNER: [(&str, &str); 8] = [
    ("window", "policy"),
    ("models", "train"),
    ("models", "onset"),
    ("models", "challenger"),
    ("models", "fallback"),
    ("models", "drift"),
    ("models", "device"),
    ("lake", "storage"),
];

/// Reads and checks the configuration at `path`. `sets` are `key=value` flags.
///
/// # Errors
/// [`Mistakes`] with everything that is wrong.
pub fn load(path: &Path, sets: &[String]) -> Result<Config, Mistakes> {
    let place = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        let what = format!("cannot be read: {error}");
        Mistakes { place: place.clone(), mistakes: vec![Mistake { key: place.clone(), what }] }
    })?;
    // Variables that are not UTF-8 are none of ours.
    let variables = std::env::vars_os();
    let variables =
        variables.filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    parse(&place, &text, variables, sets)
}

/// Checks a configuration that is already read.
///
/// # Errors
/// [`Mistakes`] with everything that is wrong.
pub fn parse(
    place: &str,
    text: &str,
    environment: impl Iterator<Item = (String, String)>,
    sets: &[String],
) -> Result<Config, Mistakes> {
    let refuse = |key: &str, what: String| Mistakes {
        place: place.to_string(),
        mistakes: vec![Mistake { key: key.to_string(), what }],
    };
    let root = text.parse::<toml::Table>().map_err(|error| {
        // Not the line itself: it may hold a secret.
        let before = error.span().map_or("", |span| text.get(..span.start).unwrap_or(""));
        let line = before.matches('\n').count() + 1;
        refuse("TOML", format!("is not valid at line {line}: {}", error.message().trim_end()))
    })?;
    let mut overrides = from_environment(environment);
    for set in sets {
        let (key, value) = set
            .split_once('=')
            .ok_or_else(|| refuse("--set", format!("is {set:?}, it must be key=value")))?;
        overrides.insert(key.trim().to_string(), value.trim().to_string());
    }
    let mut reader = Reader::new(root, overrides);
    let config = sections::read(&mut reader);
    let mistakes = reader.finish();
    match config {
        Some(config) if mistakes.is_empty() => Ok(config),
        _ => Err(Mistakes { place: place.to_string(), mistakes }),
    }
}

/// `TIDEGAUGE_SOURCE_BROKERS` is `source.brokers`; `TIDEGAUGE_SOURCE_KAFKA_SASL_PASSWORD` is the
/// librdkafka setting `sasl.password`; `TIDEGAUGE_LAKE_STORAGE_ACCESS_KEY_ID` is
/// `access_key_id` of `[lake.storage]`, and so with the other inner sections.
/// Variables of other names are not ours.
fn from_environment(
    environment: impl Iterator<Item = (String, String)>,
) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    for (name, value) in environment {
        let Some(name) = name.strip_prefix("TIDEGAUGE_") else { continue };
        let name = name.to_lowercase();
        let Some((section, key)) = name.split_once('_') else { continue };
        if !SECTIONS.contains(&section) {
            continue;
        }
        let key = match key.strip_prefix("kafka_").filter(|_| section == "source") {
            Some(kafka) => format!("source.kafka.{}", kafka.replace('_', ".")),
            None => match inner(section, key) {
                Some((part, key)) => format!("{section}.{part}.{key}"),
                None => format!("{section}.{key}"),
            },
        };
        settings.insert(key, value);
    }
    settings
}

/// The inner section that a variable's name begins with, and its key there.
fn inner<'a>(section: &str, key: &'a str) -> Option<(&'static str, &'a str)> {
    let parts = INNER.into_iter().filter(|(outer, _)| *outer == section);
    let of = |part: &'static str| Some((part, key.strip_prefix(part)?.strip_prefix('_')?));
    parts.map(|(_, part)| part).find_map(of)
}
