//! What there is to say of models: training, trying, moving.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::{Configured, parse_duration};

#[derive(Debug, Args)]
pub struct Train {
    /// Files or folders of readings; without any, the lake's window rows are used
    #[arg(value_name = "INPUT")]
    pub inputs: Vec<String>,
    #[command(flatten)]
    pub configured: Configured,
    /// Only windows that end after this time
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Only windows that end at this time or before it
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Only windows that end so long before now, or before --to
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, conflicts_with = "from")]
    pub last: Option<Duration>,
    /// The alias that is moved to the new models [default: the configured one]
    #[arg(long)]
    pub alias: Option<String>,
    /// Do nothing when the alias has models already
    #[arg(long, conflicts_with = "follow")]
    pub unless_trained: bool,
    /// Train what trains by itself beside a run, until stopped: the onset view's models, schedules
    #[arg(long, conflicts_with_all = ["inputs", "from", "to", "last", "alias"])]
    pub follow: bool,
    /// Train one model for each group of [models.fallback] group, under that section's alias
    #[arg(long, conflicts_with = "follow")]
    pub group: bool,
}

#[derive(Debug, Args)]
pub struct Backtest {
    /// Files or folders of readings
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<String>,
    #[command(flatten)]
    pub configured: Configured,
    /// The folder of the lake that is made
    #[arg(short = 'o', long = "output", value_name = "DIR")]
    pub output: String,
    /// How many of a sensor's first rows train
    #[arg(long, value_name = "N", conflicts_with = "train_fraction")]
    pub train_rows: Option<u64>,
    /// What share of a sensor's rows trains, the first ones [default: 0.3]
    #[arg(long, value_name = "F")]
    pub train_fraction: Option<f64>,
    /// With --train-fraction: at most so many rows
    #[arg(long, value_name = "N", conflicts_with = "train_rows")]
    pub train_rows_max: Option<u64>,
    /// Known events: a CSV file with the key columns (* for any), start, end; or `lake`, the labels of
    /// the configured lake
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Models {
    /// Import models of scikit-learn (pickle, joblib), libsvm and ONNX, named model_KEY_KEY
    Import {
        /// Files, or folders of files
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        #[command(flatten)]
        configured: Configured,
        /// The alias that is moved to the imported models [default: the configured one]
        #[arg(long)]
        alias: Option<String>,
    },
    /// List model sets and aliases
    List(Configured),
    /// Show the models of a set
    Show {
        /// The set's version [default: the one that the configured alias means]
        version: Option<u64>,
        #[command(flatten)]
        configured: Configured,
    },
    /// Show what came of a set's training: skipped and refused sensors, models that flag most
    Report {
        /// The set's version [default: the one that the configured alias means]
        version: Option<u64>,
        #[command(flatten)]
        configured: Configured,
    },
    /// Make an alias mean what it meant before its last move
    Rollback {
        /// The alias [default: the configured one]
        name: Option<String>,
        #[command(flatten)]
        configured: Configured,
    },
    /// Write models as files, named model_KEY_KEY
    Export {
        /// The folder
        #[arg(short = 'o', long = "output", value_name = "DIR")]
        folder: PathBuf,
        /// What is written
        #[arg(long, value_enum, default_value = "onnx")]
        format: ExportFormat,
        /// The set's version [default: the one that the configured alias means]
        version: Option<u64>,
        #[command(flatten)]
        configured: Configured,
    },
    /// List sensors of the lake without a model of their own
    Missing(Configured),
    /// Tell of each sensor in the lake how far champion and challenger agree
    Compare {
        #[command(flatten)]
        configured: Configured,
        /// Only windows that end after this time
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Only windows that end at this time or before it
        #[arg(long, value_name = "TIME")]
        to: Option<String>,
    },
    /// Make an alias mean a version
    Alias {
        /// The alias
        name: String,
        /// The set's version
        version: u64,
        #[command(flatten)]
        configured: Configured,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ExportFormat {
    /// For ONNX Runtime and whatever else runs ONNX
    Onnx,
    /// libsvm's text, with the scaling behind the vectors
    Libsvm,
}
