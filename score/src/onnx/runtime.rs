//! ONNX Runtime, loaded when the first model asks for it.
//!
//! *Why at run time*: most installations have no such model, and the library has 30 MB.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ort::environment::Environment;
use ort::ep::CPU;
use ort::logging::LogLevel;
use ort::session::Session;

/// Where the library is looked for, unless [`use_library`] has named it.
pub const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

/// The library's name where the system's loader looks.
const LIBRARY: &str = "libonnxruntime.so";

/// The library that was named.
static NAMED: OnceLock<PathBuf> = OnceLock::new();

/// There is one per process, for as long as it lives.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// Names the library file of ONNX Runtime, 1.17 or later, for the whole process; before that
/// `ORT_DYLIB_PATH` does, and without either `libonnxruntime.so` is looked for where the system has its
/// libraries. Nothing is loaded before a model asks for it.
///
/// # Errors
/// When another file was named before.
pub fn use_library(path: &Path) -> Result<(), String> {
    let named = NAMED.get_or_init(|| path.to_path_buf());
    match named == path {
        true => Ok(()),
        false => Err(format!(
            "the library of ONNX Runtime is {} already, it cannot become {}: restart to change it",
            named.display(),
            path.display()
        )),
    }
}

/// A model ready to run, on the caller's thread.
///
/// # Errors
/// When there is no library, or it does not take the model.
pub(super) fn session(file: &[u8]) -> Result<Session, String> {
    let environment = environment()?;
    let build = || -> ort::Result<Session> {
        let session = Session::builder(&environment)?
            // Each model would otherwise keep a pool of memory of its own.
            .with_execution_providers([CPU::default().with_arena_allocator(false).build()])?
            .with_memory_pattern(false)?
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            .commit_from_memory(file)?;
        Ok(session)
    };
    build().map_err(|e| format!("ONNX Runtime does not take it: {}", one_line(&e)))
}

fn environment() -> Result<Environment, String> {
    let mut loaded = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = &*loaded {
        return Ok(environment.clone());
    }
    let path = library();
    let refuse = |e: &dyn std::fmt::Display| {
        format!(
            "it needs ONNX Runtime, which cannot be loaded from {}: {}; install it (`pip install \
             onnxruntime` brings onnxruntime/capi/libonnxruntime.so.*) and name the file in the \
             environment variable {LIBRARY_VARIABLE}",
            path.display(),
            one_line(e)
        )
    };
    let environment = ort::init_from(&path)
        .map_err(|e| refuse(&e))?
        .with_name("tidegauge")
        .with_telemetry(false)
        // What goes wrong with a row is in its status.
        .with_logger(Arc::new(|_, _, _, _, _| {}))
        .build()
        .map_err(|e| refuse(&e))?;
    environment.set_log_level(LogLevel::Fatal);
    *loaded = Some(environment.clone());
    Ok(environment)
}

fn library() -> PathBuf {
    let named = NAMED.get().cloned();
    let variable = || std::env::var_os(LIBRARY_VARIABLE).filter(|path| !path.is_empty());
    named.or_else(|| variable().map(PathBuf::from)).unwrap_or_else(|| LIBRARY.into())
}

fn one_line(error: &dyn std::fmt::Display) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
