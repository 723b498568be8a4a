//! An ONNX file as a [`Model`].

use std::fmt;
use std::sync::{Mutex, PoisonError};

use ort::session::Session;
use ort::value::{DynValue, TensorRef};

use super::file::Element;
use super::{Meaning, OnnxParams, runtime};
use crate::model::Model;

/// Rows that one run sees, at most: what a graph needs in between grows with them.
const ROWS: usize = 1024;

/// The score is what the file's output says, by its [`Meaning`]; NaN where a run fails.
pub struct OnnxModel {
    /// Sessions run one call at a time.
    session: Mutex<Session>,
    output: String,
    element: Element,
    meaning: Meaning,
    width: usize,
    /// Rows of a run.
    rows: usize,
    /// Empty when not known.
    means: Vec<f64>,
}

impl fmt::Debug for OnnxModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { output, meaning, width, .. } = self;
        write!(f, "OnnxModel({output:?} of {width} features as {meaning:?})")
    }
}

impl OnnxModel {
    /// The word for this kind in model sets.
    pub const KIND: &'static str = "onnx";

    /// Loads ONNX Runtime if no model has yet, and gives it the file.
    ///
    /// # Errors
    /// When there is no library or it does not take the file: what to do is in the text.
    pub fn new(params: &OnnxParams) -> Result<Self, String> {
        Ok(Self {
            session: Mutex::new(runtime::session(params.file())?),
            output: params.output().to_string(),
            element: params.element,
            meaning: params.meaning(),
            width: params.width(),
            rows: if params.one_row { 1 } else { ROWS },
            means: params.means().to_vec(),
        })
    }

    /// # Errors
    /// When the run fails, or gives anything but a number for each row.
    fn run(&self, rows: &[f64], out: &mut [f64]) -> ort::Result<()> {
        let shape = [out.len(), self.width];
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = match self.element {
            Element::Double => {
                session.run(ort::inputs![TensorRef::from_array_view((shape, rows))?])?
            }
            Element::Float | Element::Other => {
                let rows: Vec<f32> = rows.iter().map(|value| *value as f32).collect();
                session.run(ort::inputs![TensorRef::from_array_view((shape, &*rows))?])?
            }
        };
        let output = outputs.get(&self.output);
        extract(output.ok_or_else(|| ort::Error::new("the output is missing"))?, out)
    }
}

/// The numbers of a tensor `[N]` or `[N, 1]`.
fn extract(output: &DynValue, out: &mut [f64]) -> ort::Result<()> {
    let fits = |shape: &[i64]| matches!(shape, [n] | [n, 1] if *n == out.len() as i64);
    let misfit =
        |shape: &[i64]| Err(ort::Error::new(format!("the output has the shape {shape:?}")));
    if let Ok((shape, numbers)) = output.try_extract_tensor::<f64>() {
        if !fits(shape) {
            return misfit(shape);
        }
        out.copy_from_slice(numbers);
    } else {
        let (shape, numbers) = output.try_extract_tensor::<f32>()?;
        if !fits(shape) {
            return misfit(shape);
        }
        out.iter_mut().zip(numbers).for_each(|(out, number)| *out = f64::from(*number));
    }
    Ok(())
}

impl Model for OnnxModel {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn width(&self) -> usize {
        self.width
    }

    fn scores(&self, rows: &[f64], out: &mut [f64]) {
        for (rows, out) in rows.chunks(self.rows * self.width).zip(out.chunks_mut(self.rows)) {
            if self.run(rows, out).is_err() {
                out.fill(f64::NAN);
            }
            if self.meaning == Meaning::Decision {
                // Not -f: a decision of 0 would become -0.
                out.iter_mut().for_each(|f| *f = 0.0 - *f);
            }
        }
    }

    /// How much the score gains when a feature is put back to its training mean; 0 for all when the
    /// means are not known, or a run fails.
    fn blame(&self, row: &[f64], blame: &mut [f64]) {
        blame.fill(0.0);
        if self.means.is_empty() {
            return;
        }
        // The row as it is, then with one feature after the other put back.
        let mut rows = row.repeat(self.width + 1);
        for (feature, mean) in self.means.iter().enumerate() {
            rows[(feature + 1) * self.width + feature] = *mean;
        }
        let mut scores = vec![0.0; self.width + 1];
        self.scores(&rows, &mut scores);
        for (blame, score) in blame.iter_mut().zip(&scores[1..]) {
            let gain = scores[0] - score;
            *blame = if gain.is_finite() { gain } else { 0.0 };
        }
    }
}
