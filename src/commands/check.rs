//! `check`: connects to everything that a run needs, and runs nothing.

use std::process::ExitCode;

use anyhow::{Context, Result};
use tidegauge_flow::time::rfc3339;
use tidegauge_ingest::Files;
use tidegauge_ingest::kafka::Observer;
use tidegauge_serve::http::keys::KeyFile;
use tidegauge_sink::{Lake, probe};

use super::{load, train};
use crate::cli::Configured;
use crate::clock;
use crate::config::{Config, SourceKind};
use crate::courier::Receiver;
use crate::pipeline::{self, Newest};
use crate::run::kafka_settings;
use crate::say::say;

/// Says what it found.
type Check = fn(&Config) -> Result<String>;

pub fn run(args: &Configured) -> Result<ExitCode> {
    let config = load(args)?;
    say!("configuration  ok");
    let mut checks: Vec<(&str, Check)> = vec![
        ("query", query),
        ("source", source),
        ("lake", lake),
        ("models", models),
        ("http", http),
    ];
    if !config.alerts.is_empty() {
        checks.push(("alerts", alerts));
    }
    let mut failed = 0;
    for (name, check) in checks {
        match check(&config) {
            Ok(found) => say!("{name:<14} ok: {found}"),
            Err(error) => {
                failed += 1;
                say!("{name:<14} FAILED: {error:#}");
            }
        }
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Secrets can be read and settings used; whether receivers are there, the first message shows.
fn alerts(config: &Config) -> Result<String> {
    for alert in &config.alerts {
        Receiver::new(&alert.receiver).with_context(|| format!("alert {}", alert.name))?;
    }
    let names: Vec<&str> = config.alerts.iter().map(|alert| alert.name.as_str()).collect();
    Ok(format!("{} can be used", names.join(", ")))
}

fn query(config: &Config) -> Result<String> {
    let query = pipeline::plan(config)?;
    let names: Vec<_> = query.output().fields().iter().map(|f| f.name().as_str()).collect();
    Ok(format!("gives {}", names.join(", ")))
}

fn source(config: &Config) -> Result<String> {
    match config.source.kind {
        SourceKind::Kafka => {
            let (settings, _) = kafka_settings(config)?;
            let partitions = Observer::connect(&settings)?.partitions();
            Ok(format!(
                "topic {} at {} has {partitions} partitions",
                settings.topic, settings.brokers
            ))
        }
        SourceKind::Files => {
            let files = Files::open(&config.source.paths, &config.event)?;
            Ok(format!("{} files, {} bytes", files.partitions().len(), files.bytes()))
        }
    }
}

fn lake(config: &Config) -> Result<String> {
    let url = &config.lake.url;
    if !pipeline::is_there(url) {
        return Ok(format!("{url} is not there yet: the first run makes it"));
    }
    let store = pipeline::existing_store(url, &config.lake.storage)?;
    if !store.renames() {
        // A directory on a disk is known to keep what is there; a server has to show it.
        probe(store.as_ref())?;
    }
    match Lake::read(store) {
        Ok(reader) => {
            let (generation, lanes) = (reader.generation().number, reader.lanes()?.len());
            let identity = pipeline::identity(config, &*pipeline::plan(config)?);
            reader.fits(&identity)?;
            Ok(format!("{url} is this pipeline's: generation {generation}, {lanes} lanes"))
        }
        Err(tidegauge_sink::LakeError::NotALake { .. }) => {
            Ok(format!("{url} holds no lake yet: the first run makes it"))
        }
        Err(error) => Err(error.into()),
    }
}

fn models(config: &Config) -> Result<String> {
    let alias = &config.models.alias;
    let place = config.models.url.as_ref().unwrap_or(&config.lake.url);
    let found = |alias: &str| match pipeline::is_there(place) {
        true => Ok::<_, anyhow::Error>(pipeline::registry(config)?.resolve(alias)?),
        false => Ok(None),
    };
    let settings = &config.models;
    // Rules that name other features are a mistake to be told now.
    train::recipes(config, &train::scorer(config)?)?;
    let schedule = settings.retrain.as_ref().map_or(String::new(), |retrain| {
        let next = retrain.schedule.next(clock::now_us()).unwrap_or(i64::MAX);
        let next = rfc3339(next.saturating_mul(1000));
        format!("; {} is trained again at {next} and so on", retrain.alias)
    });
    let newest = Newest {
        champion: found(alias)?,
        challenger: settings.challenger.as_deref().map(found).transpose()?.flatten(),
        fallback: settings.group_alias().map(found).transpose()?.flatten(),
        ..Newest::default()
    };
    let models = newest.champion.clone();
    pipeline::scorer(config, &*pipeline::plan(config)?, newest)?;
    Ok(match models {
        Some(models) => {
            let (count, version) = (models.effective().count(), models.newest().header.version);
            format!("{alias} is set {version}, {count} models in force{schedule}")
        }
        None if settings.fallback.is_some() => {
            format!("no alias {alias} yet: rows are judged by [models.fallback] at best{schedule}")
        }
        None => format!("no alias {alias} yet: rows get the status no_model{schedule}"),
    })
}

fn http(config: &Config) -> Result<String> {
    let Some(settings) = &config.http else {
        return Ok("no server: [http] listen is not set".to_owned());
    };
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    if let Some(files) = &settings.tls {
        tidegauge_serve::http::tls::read(files)?;
    }
    let keys = match &settings.keys {
        None => "no keys: whoever is on this machine may do everything".to_owned(),
        Some(path) => {
            let keys = KeyFile::read(path)?.keys.len();
            anyhow::ensure!(keys > 0, "{} has no key: tidegauge keys add", path.display());
            format!("{keys} keys")
        }
    };
    Ok(format!("{scheme}://{}, {keys}", settings.listen))
}
