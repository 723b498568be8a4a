//! A calibration as scoring wants it: few cache lines for each row.
//!
//! *Why*: the calibrations of all sensors do not fit into the caches that are near, and a binary search over the
//! knots waits for memory at each step. Here a row reads the first knots of all groups, which stand together,
//! and then one group.

use super::{Calibration, MAX_KNOTS};

/// Knots of a group.
const GROUP: usize = 8;
const GROUPS: usize = MAX_KNOTS.div_ceil(GROUP);

/// Neighbouring knots; what is missing in the last group is infinite.
#[derive(Debug, Clone, Copy)]
struct Group {
    scores: [f64; GROUP],
    severities: [f64; GROUP],
}

impl Default for Group {
    fn default() -> Self {
        Self { scores: [f64::INFINITY; GROUP], severities: [f64::INFINITY; GROUP] }
    }
}

/// Gives what [`Calibration::severity`] gives, to the last bit.
#[derive(Debug, Clone)]
pub(crate) struct Lookup {
    /// The first knot of each group.
    first: Group,
    most: f64,
    groups: Box<[Group]>,
}

impl Lookup {
    pub(crate) fn new(calibration: &Calibration) -> Self {
        const { assert!(GROUPS <= GROUP, "a group holds the first knots of all groups") };
        let (scores, severities) = (calibration.scores(), calibration.severities());
        let mut first = Group::default();
        let mut groups = Vec::with_capacity(scores.len().div_ceil(GROUP));
        for (scores, severities) in scores.chunks(GROUP).zip(severities.chunks(GROUP)) {
            let mut group = Group::default();
            group.scores[..scores.len()].copy_from_slice(scores);
            group.severities[..severities.len()].copy_from_slice(severities);
            first.scores[groups.len()] = scores[0];
            first.severities[groups.len()] = severities[0];
            groups.push(group);
        }
        Self { first, most: calibration.most(), groups: groups.into() }
    }

    /// As [`Calibration::severity`].
    #[inline]
    pub(crate) fn severity(&self, score: f64) -> f64 {
        // An infinite score is above all knots that are there, and the missing ones are no knots.
        let score = if score == f64::INFINITY { f64::MAX } else { score };
        let reached = |knots: &Group| knots.scores.iter().filter(|knot| **knot <= score).count();
        let Some(at) = reached(&self.first).checked_sub(1) else { return 0.0 };
        let group = &self.groups[at];
        // At least one: the first of the group is the one that was reached.
        let knot = reached(group) - 1;
        let (s0, v0) = (group.scores[knot], group.severities[knot]);
        let after = match knot + 1 {
            GROUP => self.first.scores.get(at + 1).zip(self.first.severities.get(at + 1)),
            next => Some((&group.scores[next], &group.severities[next])),
        };
        match after.filter(|(s1, _)| s1.is_finite()) {
            None if score > s0 => self.most,
            None => v0,
            Some((s1, v1)) => v0 + (v1 - v0) * ((score - s0) / (s1 - s0)),
        }
    }
}
