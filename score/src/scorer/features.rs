//! The features of one view, and what a run of rows has of them.

use super::columns::Columns;
use super::verdict::BETWEEN;
use crate::context::{Expression, Fit, canonical, expand, parse};
use crate::error::ScoreError;

/// What a view's models see, in their order.
#[derive(Debug)]
pub(super) struct Features {
    names: Vec<String>,
    expressions: Vec<Expression>,
}

/// The features of some consecutive rows of one sensor.
#[derive(Debug, Default)]
pub(super) struct Run {
    values: Vec<f64>,
    fits: Vec<Fit>,
    width: usize,
}

impl Features {
    /// `wanted` in its order, or all numbers of the query.
    pub fn choose(columns: &mut Columns, wanted: &[String]) -> Result<Self, ScoreError> {
        let names = match wanted.is_empty() {
            true => columns.numbers().map(String::from).collect(),
            false => expand(wanted),
        };
        let found: Vec<String> = columns.found().map(String::from).collect();
        let plain = |name: String| if found.contains(&name) { name } else { canonical(&name) };
        let names: Vec<String> = names.into_iter().map(plain).collect();
        let refuse = |name: &str, what: String| {
            let (name, found) = (name.to_string(), found.clone());
            Err(ScoreError::Feature { name, what, found })
        };
        if names.is_empty() {
            return refuse("", "is missing: models need at least one number".into());
        }
        let mut expressions = Vec::with_capacity(names.len());
        for (i, name) in names.iter().enumerate() {
            let is_column = |name: &str| found.iter().any(|found| found == name);
            match parse(name, is_column, |column| columns.look_at(column)) {
                Ok(_) if names[..i].contains(name) => {
                    return refuse(name, "is named twice".into());
                }
                Ok(_) if name.contains(BETWEEN) => {
                    let what = "which stands between the features of a reason";
                    return refuse(name, format!("holds {BETWEEN:?}, {what}: rename it with AS"));
                }
                Ok(expression) => expressions.push(expression),
                Err(what) => return refuse(name, what),
            }
        }
        Ok(Self { names, expressions })
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    pub fn expressions(&self) -> &[Expression] {
        &self.expressions
    }

    pub fn width(&self) -> usize {
        self.names.len()
    }

    /// Whether they are the columns that are looked at, in their order.
    pub fn are_columns(&self) -> bool {
        let is_column = |(i, e): (usize, &Expression)| *e == Expression::Column(i);
        self.expressions.iter().enumerate().all(is_column)
    }
}

impl Run {
    pub fn clear(&mut self, width: usize) {
        self.values.clear();
        self.fits.clear();
        self.width = width;
    }

    /// Room for one more row, and where to say how it fits.
    pub fn grow(&mut self, fill: impl FnOnce(&mut [f64]) -> Fit) {
        let at = self.values.len();
        self.values.resize(at + self.width, 0.0);
        self.fits.push(fill(&mut self.values[at..]));
    }

    pub fn view(&self) -> Rows<'_> {
        Rows { values: &self.values, fits: Fits::Each(&self.fits), width: self.width }
    }
}

/// Borrowed rows with what they are worth.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub values: &'a [f64],
    pub fits: Fits<'a>,
    pub width: usize,
}

/// What each row is worth.
#[derive(Clone, Copy)]
pub(super) enum Fits<'a> {
    Each(&'a [Fit]),
    /// Rows of plain columns: complete, or not finite.
    Plain(&'a [bool]),
}

impl<'a> Rows<'a> {
    pub fn row(&self, row: usize) -> &'a [f64] {
        &self.values[row * self.width..(row + 1) * self.width]
    }

    pub fn fit(&self, row: usize) -> Fit {
        match self.fits {
            Fits::Each(fits) => fits[row],
            Fits::Plain(valid) if valid[row] => Fit::Complete,
            Fits::Plain(_) => Fit::Invalid,
        }
    }

    pub fn all_finite(&self) -> bool {
        match self.fits {
            Fits::Each(fits) => fits.iter().all(|fit| *fit != Fit::Invalid),
            Fits::Plain(valid) => valid.iter().all(|valid| *valid),
        }
    }
}
