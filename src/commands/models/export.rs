//! Models as files for other programs.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use tidegauge_flow::KeySchema;
use tidegauge_score::{ModelEntry, export_libsvm, export_onnx, key_to_name};

use crate::cli::ExportFormat;
use crate::config::Config;
use crate::pipeline;
use crate::say::say;

/// Writes the models that an alias or a version means, a file each, named for their sensors.
pub fn run(
    config: &Config,
    folder: &Path,
    format: ExportFormat,
    version: Option<u64>,
) -> Result<ExitCode> {
    let registry = pipeline::registry(config)?;
    let alias = &config.models.alias;
    let models = match version {
        Some(version) => registry.models(version)?,
        None => registry
            .resolve(alias)?
            .with_context(|| format!("there is no alias {alias} yet: name a version"))?,
    };
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let (mut written, mut refused) = (0, 0);
    for (entry, _) in models.effective() {
        match write(entry, folder, format, &config.event.key) {
            Ok(()) => written += 1,
            Err(error) => {
                refused += 1;
                eprintln!("refused sensor {}: {error:#}", entry.key);
            }
        }
    }
    let set = models.newest().header.version;
    say!("wrote {written} models of set {set} to {}", folder.display());
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn write(entry: &ModelEntry, folder: &Path, format: ExportFormat, key: &KeySchema) -> Result<()> {
    let name = key_to_name(&entry.key, key).map_err(|what| anyhow!(what))?;
    let (ending, bytes) = match format {
        ExportFormat::Onnx => ("onnx", export_onnx(entry)),
        ExportFormat::Libsvm => ("libsvm", export_libsvm(entry).map(String::into_bytes)),
    };
    let path = folder.join(format!("{name}.{ending}"));
    fs::write(&path, bytes.map_err(|what| anyhow!(what))?)
        .with_context(|| format!("cannot write {}", path.display()))
}
