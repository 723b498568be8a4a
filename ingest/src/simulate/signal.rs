//! The normal values of one sensor.

use std::f64::consts::TAU;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use crate::error::IngestError;

/// The values between which a healthy sensor stays, or nearly always stays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
}

impl Range {
    /// The ranges of the reference simulator's five sensors.
    pub const REFERENCE: [Self; 5] = [
        Self { min: 10.0, max: 15.0 },
        Self { min: 30.0, max: 40.0 },
        Self { min: 60.0, max: 65.0 },
        Self { min: 80.0, max: 85.0 },
        Self { min: 100.0, max: 110.0 },
    ];

    /// The width is checked too: that of two finite numbers may be infinite.
    pub(super) fn is_valid(self) -> bool {
        self.min < self.max && (self.max - self.min).is_finite()
    }
}

/// How a healthy sensor's values lie in its range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// Anywhere with the same chance, as the reference simulator.
    Uniform,
    /// Around the middle; the range is three standard deviations to both sides.
    Gaussian,
    /// A wave through half of the range, each sensor with its own phase, and normal noise whose
    /// standard deviation is a sixteenth of the range.
    Sine {
        /// The wave's length in nanoseconds.
        period_ns: i64,
    },
}

impl Shape {
    pub(super) fn check(self) -> Result<(), IngestError> {
        match self {
            Self::Sine { period_ns } if period_ns <= 0 => Err(IngestError::Setting {
                setting: "period_ns",
                value: period_ns.to_string(),
                rule: "above 0".to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

/// One sensor's normal values.
#[derive(Debug)]
pub(super) struct Signal {
    shape: Shape,
    /// The middle of the range.
    pub(super) level: f64,
    width: f64,
    /// Of the wave, as a part of it.
    phase: f64,
}

impl Signal {
    pub(super) fn new(shape: Shape, range: Range, random: &mut ChaCha8Rng) -> Self {
        let width = range.max - range.min;
        let phase = random.random::<f64>();
        Self { shape, level: range.min + width / 2.0, width, phase }
    }

    /// The standard deviation of normal values around the level, the wave included.
    pub(super) fn deviation(&self) -> f64 {
        match self.shape {
            Shape::Uniform => self.width / 12_f64.sqrt(),
            Shape::Gaussian => self.width / 6.0,
            Shape::Sine { .. } => {
                let (wave, noise) = (self.width / 4.0, self.width / 16.0);
                (wave * wave / 2.0 + noise * noise).sqrt()
            }
        }
    }

    /// The normal value at a time, nanoseconds since the start.
    pub(super) fn draw(&self, since_start_ns: i64, random: &mut ChaCha8Rng) -> f64 {
        match self.shape {
            Shape::Uniform => self.level + (random.random::<f64>() - 0.5) * self.width,
            Shape::Gaussian => self.level + normal(random) * self.width / 6.0,
            Shape::Sine { period_ns } => {
                let part = since_start_ns.rem_euclid(period_ns) as f64 / period_ns as f64;
                let wave = (TAU * (part + self.phase)).sin() * self.width / 4.0;
                self.level + wave + normal(random) * self.width / 16.0
            }
        }
    }
}

/// Rounds half away from zero. A value too large to have that many decimals stays as it is.
pub(super) fn round_to(value: f64, decimals: u8) -> f64 {
    let scale = 10_f64.powi(i32::from(decimals));
    let scaled = value * scale;
    if scaled.abs() < 2_f64.powi(52) { scaled.round() / scale } else { value }
}

fn normal(random: &mut ChaCha8Rng) -> f64 {
    random.sample(StandardNormal)
}
