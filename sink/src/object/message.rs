//! What a user hears about a bucket that does not answer or refuses us.

use std::io;

use super::retry::Failure;

/// The error of a failure at `url`: what happened and what to do.
pub(super) fn explain(failure: &Failure, url: &str) -> io::Error {
    let (kind, text) = match failure {
        Failure::NotFound => return no_bucket(),
        Failure::Exists => {
            (io::ErrorKind::AlreadyExists, "the server says that it is there".to_owned())
        }
        Failure::Conflict { code } => {
            let text =
                format!("the server answered 409 {code}: others hold the object or the bucket");
            (io::ErrorKind::ResourceBusy, text)
        }
        Failure::Refused { status: status @ (401 | 403), code } => {
            let text = format!(
                "the server refused us with {status} {code}: check the credentials ({}) and \
                 what they may do in the bucket",
                variables(url)
            );
            (io::ErrorKind::PermissionDenied, text)
        }
        Failure::Refused { status, code } => {
            let text = format!(
                "the server answered {status} {code}: check the region, the endpoint and [lake.storage]"
            );
            (io::ErrorKind::InvalidInput, text)
        }
        Failure::Away { tries, what } => {
            let text = format!("{tries} tries failed, the last one because {what}");
            (io::ErrorKind::TimedOut, text)
        }
        Failure::Unusable { what } => (io::ErrorKind::InvalidInput, what.clone()),
    };
    io::Error::new(kind, text)
}

pub(super) fn no_bucket() -> io::Error {
    let what = "the bucket or container does not exist: make it, or correct the url";
    io::Error::new(io::ErrorKind::NotFound, what)
}

/// The variables that hold a store's credentials.
fn variables(url: &str) -> &'static str {
    match url.split_once("://").map(|(scheme, _)| scheme) {
        Some("s3" | "s3a") => "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or [lake.storage]",
        Some("gs") => "GOOGLE_APPLICATION_CREDENTIALS or [lake.storage]",
        _ => "AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY or [lake.storage]",
    }
}

/// The server's own word for an error, out of its XML: `<Code>SlowDown</Code>`. Not the rest: it may
/// repeat what we signed.
pub(super) fn code(text: &str) -> String {
    let inside =
        |text: &str| Some(text.split_once("<Code>")?.1.split_once("</Code>")?.0.to_owned());
    let plain = |code: &String| code.len() <= 64 && code.chars().all(|c| c.is_ascii_alphanumeric());
    inside(text).filter(plain).map_or_else(String::new, |code| format!("({code})"))
}
