//! `label`: what people know of windows, kept in the lake.

mod report;
mod sensor;

use std::process::ExitCode;

use anyhow::{Context, Result};
use tidegauge_flow::time::rfc3339;
use tidegauge_sink::{Label, Labels, Lake, Meaning};

use super::{Usage, load, time};
use crate::cli::{LabelArgs, LabelVerb};
use crate::clock;
use crate::config::Config;
use crate::labels;
use crate::pipeline;
use crate::say::say;

pub fn run(args: &LabelArgs) -> Result<ExitCode> {
    let config = load(&args.configured)?;
    match args.verb {
        LabelVerb::True => add(&config, args, Meaning::True)?,
        LabelVerb::False => add(&config, args, Meaning::False)?,
        LabelVerb::Remove => add(&config, args, Meaning::Removed)?,
        LabelVerb::List => list(&config)?,
        LabelVerb::Report => report::run(&config)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn add(config: &Config, args: &LabelArgs, meaning: Meaning) -> Result<()> {
    let missing = || Usage("a label needs --sensor, --from and --to".into());
    let wanted = args.sensor.as_deref().ok_or_else(missing)?;
    let key = sensor::parse(wanted, &config.event.key)
        .map_err(|what| Usage(format!("--sensor is {wanted:?}: {what}")))?;
    let micros = |flag, text: &Option<String>| -> Result<i64> {
        Ok(time(flag, text.as_deref().ok_or_else(missing)?)?.div_euclid(1000))
    };
    let (from_us, to_us) = (micros("--from", &args.from)?, micros("--to", &args.to)?);
    if to_us < from_us {
        return Err(Usage("--to lies before --from".into()).into());
    }
    let store = pipeline::existing_store(&config.lake.url, &config.lake.storage)?;
    // A label is of a lake that is there.
    Lake::read(store.clone())?;
    let labels = Labels::of(store.clone());
    let same = |label: &Label| (&label.key, label.from_us, label.to_us) == (&key, from_us, to_us);
    let earlier = labels.in_force()?.into_iter().find(same);
    if meaning == Meaning::Removed && earlier.is_none() {
        anyhow::bail!(
            "there is no label of these sensors and this range: see tidegauge label list"
        );
    }
    let note = args.note.clone().unwrap_or_default();
    let (number, made_at_us) = (0, clock::now_us());
    let label = Label { number, key, from_us, to_us, meaning, note, made_at_us };
    let label = labels.add(label)?;
    let what = match (meaning, &earlier) {
        (Meaning::Removed, Some(earlier)) => format!("label {} is removed", earlier.number),
        (_, Some(earlier)) => format!("label {} replaces {}", label.number, earlier.number),
        (_, None) => format!("label {}", label.number),
    };
    say!("{what}: {}", line(&label));
    Ok(())
}

fn list(config: &Config) -> Result<()> {
    let labels = in_force(config)?;
    for label in &labels {
        say!("{:>6}  {}", label.number, line(label));
    }
    say!("{} labels", labels.len());
    Ok(())
}

/// The labels that hold in the configured lake.
pub(super) fn in_force(config: &Config) -> Result<Vec<Label>> {
    let store = pipeline::existing_store(&config.lake.url, &config.lake.storage)?;
    Lake::read(store.clone())?;
    labels::of(store, config.event.key.columns().len())
        .with_context(|| format!("the labels of {}", config.lake.url))
}

fn line(label: &Label) -> String {
    let show = |us: i64| rfc3339(us.saturating_mul(1000));
    let sensors = labels::sensors(label);
    let (from, to, what) = (show(label.from_us), show(label.to_us), label.meaning.as_str());
    format!("{sensors}  {from} to {to}  {what}  {}", label.note).trim_end().to_string()
}
