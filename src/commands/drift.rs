//! `drift`: which sensors are no longer what their models were trained on.

use std::process::ExitCode;

use anyhow::Result;
use tidegauge_score::{Drifted, Unknown};
use tidegauge_sink::Lake;

use super::history::Range;
use super::{load, time};
use crate::cli::Drift;
use crate::drift::{Period, Survey, Surveyor, counts};
use crate::pipeline;
use crate::say::say;

pub fn run(args: &Drift) -> Result<ExitCode> {
    let config = load(&args.configured)?;
    let micros = |flag, text: &Option<String>| {
        text.as_deref().map(|t| time(flag, t).map(|ns| ns.div_euclid(1000))).transpose()
    };
    let range = Range { from: micros("--from", &args.from)?, to: micros("--to", &args.to)? };
    let period = match (range, args.last) {
        (Range { from: None, to: None }, last) => {
            Period::Last(last.unwrap_or(config.models.drift.last))
        }
        (range, _) => Period::Between(range),
    };
    let query = pipeline::plan(&config)?;
    let registry = pipeline::registry(&config)?;
    let store = pipeline::existing_store(&config.lake.url, &config.lake.storage)?;
    let reader = Lake::read(store)?;
    let surveyor =
        Surveyor { config: &config, query: &query, registry: &registry, reader: &reader };
    tell(&surveyor.survey(period)?);
    Ok(ExitCode::SUCCESS)
}

fn tell(survey: &Survey) {
    let names = survey.sensors.iter().map(|(sensor, _)| sensor.to_string().chars().count());
    let sensor = names.max().unwrap_or_default().max("sensor".len());
    let names = survey.features.iter().map(|name| name.chars().count());
    let feature = names.max().unwrap_or_default().max("worst feature".len());
    say!(
        "{:<sensor$} {:>8} {:>8}  {:<feature$} {:>8}  verdict",
        "sensor",
        "windows",
        "scores",
        "worst feature",
        "PSI"
    );
    for (key, came) in &survey.sensors {
        match came {
            Ok(drifted) => {
                let (name, psi) = worst(survey, drifted);
                let scores = drifted.scores.map_or("-".into(), |shift| format!("{:.3}", shift.psi));
                say!(
                    "{:<sensor$} {:>8} {scores:>8}  {name:<feature$} {psi:>8}  {}",
                    key.to_string(),
                    drifted.windows,
                    drifted.most().verdict
                );
            }
            Err(why) => say!(
                "{:<sensor$} {:>8} {:>8}  {:<feature$} {:>8}  unknown: {why}",
                key.to_string(),
                windows(*why),
                "-",
                "-",
                "-"
            ),
        }
    }
    let c = counts(survey);
    say!(
        "{} sensors: {} drift, {} watch, {} stable, {} unknown{}",
        survey.sensors.len(),
        c.drift,
        c.watch,
        c.stable,
        c.unknown,
        survey.range.text()
    );
}

fn worst<'a>(survey: &'a Survey, drifted: &Drifted) -> (&'a str, String) {
    let worst = drifted.worst();
    worst.map_or(("-", "-".into()), |(f, shift)| {
        (survey.features[f].as_str(), format!("{:.3}", shift.psi))
    })
}

fn windows(why: Unknown) -> String {
    match why {
        Unknown::TooFew { windows } => windows.to_string(),
        Unknown::NoModel | Unknown::NoDistribution => "-".into(),
    }
}
