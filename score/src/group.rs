//! Groups of sensors that share some of their key columns: one model for all of a group, which stands in
//! for sensors without one of their own.

use std::collections::BTreeMap;

use tidegauge_flow::{KeySchema, SensorKey};

use crate::error::ScoreError;
use crate::train::{Report, SensorRows, TrainOptions, train};

/// Which key columns the sensors of a group share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Their places among the key columns, rising.
    columns: Vec<usize>,
    schema: KeySchema,
}

impl Group {
    /// A group by some of the key columns, in any order.
    ///
    /// # Errors
    /// [`ScoreError::Option`] when there is no name, one of them is no key column or is there twice, or
    /// they are all of the key, which is the sensor itself.
    pub fn new(key: &KeySchema, names: &[String]) -> Result<Self, ScoreError> {
        let columns: Vec<usize> =
            (0..key.columns().len()).filter(|c| names.contains(&key.columns()[*c].name)).collect();
        if columns.is_empty() || columns.len() != names.len() || names.len() == key.columns().len()
        {
            let expected = "it must name some of the key columns, not all, each once";
            return Err(ScoreError::Option {
                name: "group",
                value: format!("{names:?}"),
                expected,
            });
        }
        let schema = columns.iter().map(|column| key.columns()[*column].clone()).collect();
        Ok(Self { columns, schema: KeySchema::new(schema) })
    }

    /// The key columns of its models' sets.
    pub fn schema(&self) -> &KeySchema {
        &self.schema
    }

    /// The group of a sensor.
    ///
    /// # Panics
    /// When the sensor's key is not of the columns that the group was made from.
    pub fn of(&self, sensor: &SensorKey) -> SensorKey {
        SensorKey(self.columns.iter().map(|column| sensor.0[*column].clone()).collect())
    }
}

/// Trains one model for each group from the rows of all its sensors. Features must be computed for each
/// sensor before: rows of different sensors are no neighbours. No sensor gives more rows than its even
/// share of `rows_max`, but what others don't use up; rows that are not finite don't count.
///
/// # Errors
/// As [`train`]. A group that can't be trained is in the report.
pub fn train_groups(
    features: &[String],
    samples: &[SensorRows],
    group: &Group,
    options: &TrainOptions,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Report, ScoreError> {
    let mut groups: BTreeMap<SensorKey, Vec<&SensorRows>> = BTreeMap::new();
    for rows in samples {
        groups.entry(group.of(&rows.key)).or_default().push(rows);
    }
    let pool = |(key, members): (&SensorKey, &Vec<&SensorRows>)| {
        pool(key.clone(), members, features.len(), options.rows_max)
    };
    let pooled: Vec<SensorRows> = groups.iter().map(pool).collect();
    let mut report = train(features, &pooled, options, progress)?;
    for entry in &mut report.entries {
        let members = &groups[&entry.key];
        entry.source = format!("trained here on {} sensors", members.len());
        if let Some(training) = &mut entry.training {
            training.rows = members.iter().map(|rows| rows.window_end_us.len() as u64).sum();
        }
    }
    Ok(report)
}

/// The rows of a group's sensors, at most about `rows_max`.
fn pool(key: SensorKey, members: &[&SensorRows], width: usize, rows_max: usize) -> SensorRows {
    let usable: Vec<Vec<usize>> = members.iter().map(|rows| usable(rows, width)).collect();
    let share = even_share(usable.iter().map(Vec::len).collect(), rows_max);
    let mut pooled = SensorRows { key, window_end_us: Vec::new(), rows: Vec::new() };
    for (rows, usable) in members.iter().zip(&usable) {
        let taken = usable.len().min(share);
        for at in (0..taken).map(|i| usable[i * usable.len() / taken]) {
            pooled.window_end_us.push(rows.window_end_us[at]);
            pooled.rows.extend_from_slice(&rows.rows[at * width..(at + 1) * width]);
        }
    }
    pooled
}

/// The finite rows of a sensor, in the order of time. A shape that is wrong has none.
fn usable(rows: &SensorRows, width: usize) -> Vec<usize> {
    let finite = |at: &usize| {
        let row = rows.rows.get(at * width..(at + 1) * width);
        row.is_some_and(|row| row.iter().all(|value| value.is_finite()))
    };
    let mut usable: Vec<usize> = (0..rows.window_end_us.len()).filter(finite).collect();
    usable.sort_by_key(|at| rows.window_end_us[*at]);
    usable
}

/// How many rows each may give at most, so that together they give no more than `total`: what those
/// with few rows leave is divided among the others. At least one.
fn even_share(mut counts: Vec<usize>, total: usize) -> usize {
    counts.sort_unstable();
    let (mut left, mut others) = (total, counts.len());
    for count in counts {
        if count * others > left {
            return (left / others).max(1);
        }
        left -= count;
        others -= 1;
    }
    total.max(1)
}

#[cfg(test)]
mod tests;
