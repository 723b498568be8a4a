//! Model sets, aliases, and the model that a sensor is judged by.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tidegauge_flow::{KeySchema, SensorKey};
use tidegauge_score::{
    AliasRecord, Group, ModelEntry, Models, Registry, ScoreError, SetHeader, SetSummary,
};
use tidegauge_serve::console::{
    AliasMove, AliasRow, Answer, ConsoleError, ModelSets, ModelSummary, SetRow,
};

use super::origin::Origin;
use super::unavailable;
use crate::commands::models::moves;
use crate::config::{self, Config};

/// Sets that are told.
const SETS_MAX: usize = 500;

/// Sets that were read: they do not change.
#[derive(Default)]
pub struct SetsSeen {
    rows: BTreeMap<u64, SetRow>,
    /// What the aliases of sensors' models meant when a sensor was last asked for: it is most often the same.
    models: BTreeMap<String, Models>,
}

pub fn sets(origin: &Origin, seen: &Mutex<SetsSeen>) -> Answer<ModelSets> {
    let none = ModelSets { aliases: Vec::new(), sets: Vec::new() };
    let Some(registry) = origin.registry().map_err(|e| unavailable(&e))? else { return Ok(none) };
    let mut versions = registry.versions().map_err(refusal)?;
    versions.reverse();
    versions.truncate(SETS_MAX);
    let mut sets = Vec::with_capacity(versions.len());
    for version in versions {
        let known = seen.lock().unwrap_or_else(PoisonError::into_inner).rows.get(&version).cloned();
        if let Some(row) = known {
            sets.push(row);
            continue;
        }
        let row = match registry.summary(version) {
            Ok(summary) => set_row(summary),
            // Removed since the listing.
            Err(ScoreError::UnknownSet { .. }) => continue,
            Err(error) => return Err(refusal(error)),
        };
        if row.problem.is_none() {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.rows.insert(version, row.clone());
            while seen.rows.len() > SETS_MAX {
                seen.rows.pop_first();
            }
        }
        sets.push(row);
    }
    let row = |record: AliasRecord| -> Answer<AliasRow> {
        let before = registry.before(&record.name).map_err(refusal)?;
        Ok(AliasRow {
            role: role(origin.config.as_ref(), &record.name),
            version: record.version,
            moved_us: record.moved_us,
            before: before.map(|before| before.version),
            name: record.name,
        })
    };
    let aliases = registry.aliases().map_err(refusal)?.into_iter().map(row);
    Ok(ModelSets { aliases: aliases.collect::<Answer<_>>()?, sets })
}

fn set_row(summary: SetSummary) -> SetRow {
    let version = summary.version;
    match summary.content {
        Ok((SetHeader { base, note, created_us, .. }, models)) => {
            SetRow { version, base, created_us, note, models, problem: None }
        }
        Err(problem) => SetRow {
            version,
            base: None,
            created_us: 0,
            note: String::new(),
            models: 0,
            problem: Some(problem),
        },
    }
}

/// What the configuration uses an alias for; without one, what it would by default.
fn role(config: Option<&Config>, alias: &str) -> Option<&'static str> {
    let models = config.map(|config| &config.models);
    let Some(models) = models else {
        let usual = [config::CHAMPION, config::ONSET, config::FALLBACK];
        return usual.into_iter().find(|usual| *usual == alias);
    };
    let onset = models.onset.as_ref().map(|onset| onset.alias.as_str());
    let roles = [
        ("champion", Some(models.alias.as_str())),
        ("onset", onset),
        ("challenger", models.challenger.as_deref()),
        ("fallback", models.group_alias()),
    ];
    roles.into_iter().find(|(_, name)| *name == Some(alias)).map(|(role, _)| role)
}

pub fn move_alias(origin: &Origin, alias: &str, version: u64) -> Answer<AliasMove> {
    let (config, registry) = movable(origin)?;
    let moved = moves::move_to(config, &registry, alias, version, origin.clock.now_us());
    done(moved)
}

pub fn roll_back(origin: &Origin, alias: &str) -> Answer<AliasMove> {
    let (config, registry) = movable(origin)?;
    if registry.alias(alias).map_err(refusal)?.is_none() {
        return Err(ConsoleError::NotFound(format!("there is no alias {alias} yet")));
    }
    done(moves::roll_back(config, &registry, alias, origin.clock.now_us()))
}

fn movable(origin: &Origin) -> Answer<(&Config, Arc<Registry>)> {
    let Some(config) = &origin.config else {
        return Err(ConsoleError::Refused(
            "whether models fit is known to the pipeline's configuration only: start tidegauge serve with \
             -c FILE to move aliases"
                .into(),
        ));
    };
    let registry = origin.registry().map_err(|error| unavailable(&error))?;
    let missing = || ConsoleError::NotFound("there is no lake here yet, and no models".into());
    Ok((config, registry.ok_or_else(missing)?))
}

fn done(moved: anyhow::Result<AliasRecord>) -> Answer<AliasMove> {
    let refused = |error: anyhow::Error| {
        let what = format!("{error:#}");
        match error.downcast_ref::<ScoreError>() {
            Some(error) => by_what_to_do(error, what),
            None => ConsoleError::Refused(what),
        }
    };
    let record = moved.map_err(refused)?;
    Ok(AliasMove { alias: record.name, version: record.version })
}

fn refusal(error: ScoreError) -> ConsoleError {
    by_what_to_do(&error, error.to_string())
}

/// An error of the registry, by what the client does about it.
fn by_what_to_do(error: &ScoreError, what: String) -> ConsoleError {
    match error {
        ScoreError::UnknownSet { .. } => ConsoleError::NotFound(what),
        ScoreError::Alias { .. } => ConsoleError::Invalid(what),
        ScoreError::Store(_) | ScoreError::Contention { .. } => ConsoleError::Unavailable(what),
        _ => ConsoleError::Refused(what),
    }
}

/// The model that judges a sensor now: its own, or that of its group.
pub fn of_sensor(
    origin: &Origin,
    seen: &Mutex<SetsSeen>,
    key: &SensorKey,
    schema: &KeySchema,
) -> Answer<Option<ModelSummary>> {
    let Some(registry) = origin.registry().map_err(|e| unavailable(&e))? else { return Ok(None) };
    let models = origin.config.as_ref().map(|config| &config.models);
    let champion = models.map_or(config::CHAMPION, |models| &models.alias);
    let own = in_force(&registry, seen, champion)?;
    if let Some((entry, set)) = own.as_ref().and_then(|models| models.find(key)) {
        return Ok(Some(summary(entry, set, false)));
    }
    let fallback = models.map_or(Some(config::FALLBACK), |models| models.group_alias());
    let groups = fallback.map(|alias| in_force(&registry, seen, alias)).transpose()?.flatten();
    let Some(groups) = groups else { return Ok(None) };
    let names = groups.newest().header.key.columns().iter().map(|c| c.name.clone());
    let Ok(group) = Group::new(schema, &names.collect::<Vec<_>>()) else { return Ok(None) };
    let found = groups.find(&group.of(key));
    Ok(found.map(|(entry, set)| summary(entry, set, true)))
}

/// The models that an alias means, which are held for the next question.
fn in_force(registry: &Registry, seen: &Mutex<SetsSeen>, alias: &str) -> Answer<Option<Models>> {
    let Some(record) = registry.alias(alias).map_err(refusal)? else { return Ok(None) };
    let held = seen.lock().unwrap_or_else(PoisonError::into_inner).models.get(alias).cloned();
    if let Some(held) = held.filter(|held| held.version() == record.version) {
        return Ok(Some(held));
    }
    let models = registry.models(record.version).map_err(refusal)?;
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.models.insert(alias.to_owned(), models.clone());
    Ok(Some(models))
}

fn summary(entry: &ModelEntry, set: u64, fallback: bool) -> ModelSummary {
    let training = entry.training.as_ref();
    ModelSummary {
        set,
        kind: entry.model.kind().to_owned(),
        features: entry.features.clone(),
        threshold: entry.threshold,
        trained_from_us: training.map(|training| training.from_us),
        trained_to_us: training.map(|training| training.to_us),
        trained_rows: training.map(|training| training.rows_used),
        false_alarm_rate: training.and_then(|training| training.false_alarm_rate),
        fallback,
    }
}
