//! A request's body, up to the limit and in time.

use axum::body::{Bytes, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use tokio::time::timeout;

use super::refusal::{Refusal, Refused};
use super::settings::HttpLimits;

/// All bytes of it.
pub(super) async fn read(request: Request, limits: &HttpLimits) -> Result<Bytes, Refusal> {
    // A little less than the whole request has, so that it is this that is told.
    let time = limits.request_time / 10 * 9;
    match timeout(time, to_bytes(request.into_body(), limits.body_bytes)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_length(&error) => Err(too_long(limits)),
        Ok(Err(error)) => Err(Refusal::bad(format!("the body cannot be read: {error}"))),
        Err(_) => {
            let error = format!("the body did not end within {time:?}");
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, error).because(Refused::BodyTime))
        }
    }
}

/// That there is more than may be.
pub(super) fn too_long(limits: &HttpLimits) -> Refusal {
    let error = format!("the body has more than {} bytes", limits.body_bytes);
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, error).because(Refused::BodySize)
}

fn is_length(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}
