//! What fills template variables and query editors: names of labels, their values, series.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::evaluate::known;
use super::parse::selector;
use super::{Labels, NAME, Series, Wanted};
use crate::console::{Answer, ConsoleError};

/// Series that are looked through for names and values.
const LOOKED_AT_MAX: usize = 200_000;
/// Names, values or series that are told.
const TOLD_MAX: usize = 10_000;
/// Selectors of one question.
const SELECTORS_MAX: usize = 16;

/// What is told, and whether there is more.
pub(super) struct Told {
    pub data: Value,
    pub is_cut: bool,
}

/// A time and selectors.
pub(super) struct Asked<'a> {
    pub selectors: &'a [&'a str],
    pub after_us: i64,
    pub to_us: i64,
    /// At most so many; 0 for as many as there may be.
    pub limit: usize,
}

impl Asked<'_> {
    fn limit(&self) -> usize {
        if self.limit == 0 { TOLD_MAX } else { self.limit.min(TOLD_MAX) }
    }
}

/// All series that a selector means, with their names.
pub(super) fn series(lake: &dyn Series, asked: &Asked<'_>) -> Answer<Told> {
    if asked.selectors.is_empty() {
        return Err(ConsoleError::Invalid("match[] is missing; name a metric in it".into()));
    }
    let (found, is_more) = matching(lake, asked, asked.limit())?;
    Ok(Told { data: json!(found), is_cut: is_more })
}

/// Names of labels.
pub(super) fn names(lake: &dyn Series, asked: &Asked<'_>) -> Answer<Told> {
    let families = lake.families()?;
    let wanted = asked.selectors.iter().map(|text| selector(text).map(|of| of.family));
    let wanted = wanted.collect::<Result<BTreeSet<_>, _>>().map_err(ConsoleError::Invalid)?;
    let mut names = BTreeSet::from([NAME.to_owned()]);
    for family in families {
        if wanted.is_empty() || wanted.contains(&family.name) {
            names.extend(family.labels);
        }
    }
    Ok(cut(names, asked.limit()))
}

/// Values of a label.
pub(super) fn values(lake: &dyn Series, label: &str, asked: &Asked<'_>) -> Answer<Told> {
    let families = lake.families()?;
    if label == NAME {
        return Ok(cut(families.into_iter().map(|family| family.name).collect(), asked.limit()));
    }
    let of_label: Vec<String>;
    let every: Vec<&str>;
    let mut asked_of = Asked { selectors: asked.selectors, ..*asked };
    if asked.selectors.is_empty() {
        // Sensors are the same in all families that have them: the first tells of all.
        let with = families.into_iter().find(|f| f.labels.iter().any(|name| name == label));
        of_label = with.into_iter().map(|family| family.name).collect();
        every = of_label.iter().map(String::as_str).collect();
        asked_of.selectors = &every;
    }
    let (found, is_more) = matching(lake, &asked_of, LOOKED_AT_MAX)?;
    let values = found.into_iter().filter_map(|mut labels| labels.remove(label)).collect();
    let mut told = cut(values, asked.limit());
    told.is_cut |= is_more;
    Ok(told)
}

/// The series that any of the selectors means, and whether there are more than `limit`.
fn matching(
    lake: &dyn Series,
    asked: &Asked<'_>,
    limit: usize,
) -> Answer<(BTreeSet<Labels>, bool)> {
    if asked.selectors.len() > SELECTORS_MAX {
        let what = format!("more than {SELECTORS_MAX} selectors in match[]");
        return Err(ConsoleError::Invalid(what));
    }
    let mut found = BTreeSet::new();
    let mut is_more = false;
    for text in asked.selectors {
        let selector = selector(text).map_err(ConsoleError::Invalid)?;
        known(lake, &selector.family)?;
        let wanted = Wanted {
            family: selector.family,
            matchers: selector.matchers,
            after_us: asked.after_us,
            to_us: asked.to_us,
        };
        for mut labels in lake.labels(&wanted, limit.saturating_add(1))? {
            labels.insert(NAME.to_owned(), wanted.family.clone());
            if found.len() == limit && !found.contains(&labels) {
                is_more = true;
                break;
            }
            found.insert(labels);
        }
    }
    Ok((found, is_more))
}

fn cut(names: BTreeSet<String>, limit: usize) -> Told {
    let is_cut = names.len() > limit;
    let told: Vec<String> = names.into_iter().take(limit).collect();
    Told { data: json!(told), is_cut }
}
