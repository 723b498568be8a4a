//! Text files of libsvm: one-class models with a Gaussian kernel.
//!
//! The header names what follows, `SV` ends it, then each support vector has a line: its weight,
//! then `index:value` pairs, indices from 1 upwards, zeros left out. Source: `svm_save_model` and
//! `svm_load_model` in libsvm's `svm.cpp`.
//!
//! *The scaling*: libsvm has none, and a Gaussian kernel on standardised features is not one on the
//! raw ones. [`crate::export_libsvm`] therefore writes the model on standardised features, and
//! after the last support vector, where libsvm stops reading, lines that begin with `#`:
//!
//! ```text
//! # tidegauge scaling 1
//! # sensor "1/4"
//! # threshold 0.0000000000000000e0
//! # feature 1 8.2473147459727375e1 1.3468691442303644e0 "mean"
//! ```
//!
//! A feature has its index, the mean that is subtracted, the scale that then divides, and its name
//! as a JSON string. `svm-scale`'s own files can't say this: they keep minimum and maximum, and
//! mean + scale - mean is seldom the scale to the last bit. A second file could get lost, and the
//! model would then silently see rows on another scale.

use std::str::Lines;

use super::MAX_BYTES;
use crate::svm::{MAX_VECTORS, SvmParams, SvmParts, SvmScore};

/// The first line of a scaling.
pub(crate) const SCALING: &str = "# tidegauge scaling 1";

/// Most coordinates of support vectors: what a file without zeros left out could hold.
const MAX_COORDINATES: usize = MAX_BYTES / 8;

/// The words that the header of a one-class model has, each once, before `SV`.
const HEADER: [&str; 6] = ["svm_type", "kernel_type", "gamma", "nr_class", "total_sv", "rho"];

/// What a file holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// The model; without a scaling in the file, its means are 0 and its scales 1.
    pub svm: SvmParams,
    /// The names of its features, if the file has a scaling.
    pub features: Option<Vec<String>>,
    /// A row is an anomaly when its score is at least this: 0 unless the file says otherwise.
    pub threshold: f64,
}

/// Whether these bytes begin as a model of libsvm does, of whatever kind.
pub fn is_libsvm(bytes: &[u8]) -> bool {
    let word = bytes.split(|byte| byte.is_ascii_whitespace()).next().unwrap_or_default();
    // liblinear's files begin with solver_type, and are refused by that name.
    word == b"solver_type" || HEADER.iter().any(|known| known.as_bytes() == word)
}

/// Reads a model of `width` features. The number of features is not in the file: its last one has
/// to be there in at least one support vector, be it as 0.
///
/// # Errors
/// What is wrong with it, for people, with the number of the line.
pub fn read(bytes: &[u8], width: usize) -> Result<Imported, String> {
    let text = std::str::from_utf8(bytes)
        .map_err(|e| format!("byte {}: it is not UTF-8 text", e.valid_up_to()))?;
    // A support vector that lacks its last digits or features would be one all the same.
    if !text.ends_with('\n') {
        return Err("it is cut off: its last line has no end".into());
    }
    let mut reader = Reader { lines: text.lines(), line: 0 };
    let header = reader.header()?;
    let (alpha, vectors) = reader.vectors(&header, width)?;
    let scaling = reader.scaling(width)?;
    let (gamma, rho) = (header.gamma, header.rho);
    let scaled = scaling.is_some();
    let Scaling { threshold, mean, scale, names } = scaling.unwrap_or_else(|| Scaling {
        threshold: 0.0,
        mean: vec![0.0; width],
        scale: vec![1.0; width],
        names: Vec::new(),
    });
    let score = SvmScore::Decision;
    let svm = SvmParams::new(SvmParts { mean, scale, vectors, alpha, gamma, rho, score })
        .map_err(|e| e.to_string())?;
    Ok(Imported { svm, features: scaled.then_some(names), threshold })
}

/// The header of a one-class model with a Gaussian kernel.
struct Header {
    total: usize,
    gamma: f64,
    rho: f64,
}

#[derive(Default)]
struct Scaling {
    threshold: f64,
    mean: Vec<f64>,
    scale: Vec<f64>,
    names: Vec<String>,
}

struct Reader<'a> {
    lines: Lines<'a>,
    /// The number of the line that was read last, from 1.
    line: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<&'a str> {
        self.line += 1;
        self.lines.next().map(str::trim_end)
    }

    fn at<T>(&self, what: String) -> Result<T, String> {
        Err(format!("line {}: {what}", self.line))
    }

    fn number(&self, text: &str) -> Result<f64, String> {
        match text.parse() {
            Ok(number) if f64::is_finite(number) => Ok(number),
            _ => self.at(format!("{} is no finite number", shown(text))),
        }
    }

    fn header(&mut self) -> Result<Header, String> {
        let mut values: [Option<&str>; HEADER.len()] = [None; HEADER.len()];
        let mut header = Header { total: 0, gamma: 0.0, rho: 0.0 };
        loop {
            let Some(line) = self.next() else { return Err("it ends before its line SV".into()) };
            let (word, value) = line.split_once(' ').unwrap_or((line, ""));
            if word == "SV" {
                break;
            }
            let Some(place) = HEADER.iter().position(|known| *known == word) else {
                return self.at(format!(
                    "{} is not read; a model of `svm-train -s 2 -t 2` without -b has {} and SV",
                    shown(word),
                    HEADER.join(", ")
                ));
            };
            if values[place].replace(value).is_some() {
                return self.at(format!("a second {word}"));
            }
            match word {
                "svm_type" => self.only(word, value, "one_class")?,
                "kernel_type" => self.only(word, value, "rbf")?,
                "nr_class" => self.only(word, value, "2")?,
                "gamma" => header.gamma = self.number(value)?,
                "rho" => header.rho = self.number(value)?,
                _ => header.total = self.total(value)?,
            }
        }
        match HEADER.iter().zip(values).find(|(_, value)| value.is_none()) {
            Some((word, _)) => self.at(format!("the header has no {word}")),
            None => Ok(header),
        }
    }

    fn only(&self, word: &str, value: &str, known: &str) -> Result<(), String> {
        match value == known {
            true => Ok(()),
            false => self.at(format!("its {word} is {}; only {known} is read", shown(value))),
        }
    }

    fn total(&self, value: &str) -> Result<usize, String> {
        match value.parse() {
            Ok(total) if (1..=MAX_VECTORS).contains(&total) => Ok(total),
            _ => self.at(format!("its total_sv is {}, expected 1..={MAX_VECTORS}", shown(value))),
        }
    }

    /// The weights, and the support vectors row by row.
    fn vectors(&mut self, header: &Header, width: usize) -> Result<(Vec<f64>, Vec<f64>), String> {
        let total = header.total;
        if total.checked_mul(width).is_none_or(|all| all > MAX_COORDINATES) {
            return Err(format!(
                "it has {total} support vectors for {width} features; at most {MAX_COORDINATES} \
                 coordinates are read"
            ));
        }
        let (mut alpha, mut vectors, mut last) = (Vec::new(), Vec::new(), 0);
        for read in 0..total {
            let Some(line) = self.next() else {
                return self.at(format!("it ends after {read} of {total} support vectors"));
            };
            let mut words = line.split_ascii_whitespace();
            alpha.push(self.number(words.next().unwrap_or_default())?);
            let begin = vectors.len();
            vectors.resize(begin + width, 0.0);
            last = last.max(self.pairs(words, &mut vectors[begin..])?);
        }
        match last == width {
            true => Ok((alpha, vectors)),
            false => Err(format!(
                "its support vectors have {last} features, the query gives {width}; if the others \
                 are all 0, add {width}:0 to a line"
            )),
        }
    }

    /// Fills one row; returns the index of its last feature, from 1.
    fn pairs<'b>(
        &self,
        words: impl Iterator<Item = &'b str>,
        row: &mut [f64],
    ) -> Result<usize, String> {
        let mut last = 0;
        for word in words {
            let Some((index, value)) = word.split_once(':') else {
                return self.at(format!("{} is not of the form index:value", shown(word)));
            };
            let index: usize = match index.parse() {
                Ok(index) if index > last => index,
                _ => return self.at(format!("the index {} comes after {last}", shown(index))),
            };
            let width = row.len();
            let Some(place) = row.get_mut(index - 1) else {
                return self.at(format!("it has a feature {index}, the query gives {width}"));
            };
            (*place, last) = (self.number(value)?, index);
        }
        Ok(last)
    }

    /// What stands after the last support vector: nothing, or a scaling.
    fn scaling(&mut self, width: usize) -> Result<Option<Scaling>, String> {
        let first = loop {
            match self.next() {
                None => return Ok(None),
                Some("") => {}
                Some(line) => break line,
            }
        };
        if first != SCALING {
            let first = shown(first);
            return self.at(format!("{first} after the last support vector is not {SCALING:?}"));
        }
        let (mut scaling, mut threshold) = (Scaling::default(), None);
        while let Some(line) = self.next() {
            let (word, rest) =
                line.strip_prefix("# ").and_then(|line| line.split_once(' ')).unwrap_or((line, ""));
            match word {
                // For people.
                "sensor" => {}
                "threshold" if threshold.is_none() => threshold = Some(self.number(rest)?),
                "feature" => self.feature(rest, &mut scaling)?,
                _ => return self.at(format!("{} is not of a scaling", shown(line))),
            }
        }
        scaling.threshold = threshold.ok_or("its scaling has no threshold")?;
        match scaling.names.len() == width {
            true => Ok(Some(scaling)),
            false => Err(format!(
                "its scaling has {} features, its support vectors {width}",
                scaling.names.len()
            )),
        }
    }

    /// `index mean scale "name"`.
    fn feature(&self, text: &str, scaling: &mut Scaling) -> Result<(), String> {
        let expected = scaling.names.len() + 1;
        let parts: Vec<&str> = text.splitn(4, ' ').collect();
        let [index, mean, scale, name] = *parts else {
            return self.at("a feature has an index, a mean, a scale and a name".into());
        };
        if index != expected.to_string() {
            let index = shown(index);
            return self.at(format!("feature {index} where feature {expected} was expected"));
        }
        let Ok(name) = serde_json::from_str(name) else {
            return self.at(format!("the name {} is no JSON string", shown(name)));
        };
        scaling.mean.push(self.number(mean)?);
        scaling.scale.push(self.number(scale)?);
        scaling.names.push(name);
        Ok(())
    }
}

/// The beginning of a text, quoted, for a message.
fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(40).collect::<String>())
}

#[cfg(test)]
mod tests;
