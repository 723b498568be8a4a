//! Messages posted to a URL, signed as Standard Webhooks say (<https://www.standardwebhooks.com>).
//!
//! `reqwest` is the client that the store of buckets brings along; it is used here and in nothing else of
//! ours.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, StatusCode, Url};
use ring::hmac;
use tokio::runtime::{Builder, Runtime};

use super::message::Message;
use super::receiver::Answer;
use crate::config::Webhook;

/// What a receiver may ask us to wait.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
/// The prefix of secrets.
const SECRET: &str = "whsec_";
/// Bytes of a secret, at least: fewer can be guessed.
const SECRET_LEAST: usize = 16;

/// A URL that takes messages.
pub struct Post {
    client: Client,
    url: Url,
    key: hmac::Key,
    runtime: Runtime,
}

impl Post {
    /// # Errors
    /// When the secret, the URL or a certificate can't be read or used. Nothing of them is in the text.
    pub fn new(settings: &Webhook) -> Result<Self> {
        let url = settings.url.read().map_err(|what| anyhow!("url: {what}"))?;
        let url = Url::parse(&url).map_err(|error| anyhow!("url: is not valid: {error}"))?;
        ensure!(["http", "https"].contains(&url.scheme()), "url: allowed are http: and https:");
        let secret = settings.secret.read().map_err(|what| anyhow!("secret: {what}"))?;
        let mut builder = Client::builder()
            .redirect(Policy::none())
            .timeout(settings.timeout)
            .user_agent(concat!("tidegauge/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &settings.ca {
            let pem = std::fs::read(path).with_context(|| format!("ca: {}", path.display()))?;
            let certificates = Certificate::from_pem_bundle(&pem)
                .with_context(|| format!("ca: {} has no certificates", path.display()))?;
            for certificate in certificates {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let client = builder.build().context("the HTTP client")?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { client, url, key: key(&secret)?, runtime })
    }

    /// Posts one message, and waits for the answer.
    pub fn send(&self, message: &Message, now: SystemTime) -> Answer {
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let signature = sign(&self.key, &message.id, since, &message.body);
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", since)
            .header("webhook-signature", signature)
            .body(message.body.clone());
        // Sent within the runtime: a time limit belongs to one from its beginning.
        let sent = self.runtime.block_on(async { request.send().await });
        match sent {
            Ok(response) => answer(response.status(), response.headers(), now),
            // Without the URL, which may hold a secret.
            Err(error) => {
                let error = anyhow!(error.without_url());
                Answer::Later { after: None, why: format!("{error:#}") }
            }
        }
    }
}

/// The key that a secret stands for.
fn key(secret: &str) -> Result<hmac::Key> {
    let encoded = secret.strip_prefix(SECRET).unwrap_or(secret);
    let bytes = STANDARD.decode(encoded).ok().filter(|bytes| bytes.len() >= SECRET_LEAST);
    let bytes = bytes.with_context(|| {
        format!("secret: allowed is {SECRET} and base64 of {SECRET_LEAST} bytes or more")
    })?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

fn sign(key: &hmac::Key, id: &str, timestamp: u64, body: &str) -> String {
    let signature = hmac::sign(key, format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(signature))
}

fn answer(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Answer {
    let why = format!("the receiver answered {status}");
    let again = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    match status {
        status if status.is_success() => Answer::Taken,
        status if status.is_server_error() || again.contains(&status) => {
            let after = headers.get(RETRY_AFTER).and_then(|value| retry_after(value, now));
            Answer::Later { after, why }
        }
        // A redirect would take the message to somebody whom nobody has named.
        _ => Answer::Refused { why },
    }
}

/// Seconds, or a time (RFC 9110, 10.2.3).
fn retry_after(value: &HeaderValue, now: SystemTime) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until = DateTime::parse_from_rfc2822(text).ok()?;
            (until.with_timezone(&Utc) - DateTime::<Utc>::from(now)).to_std().ok()?
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_the_standard() {
        // The example of the reference libraries.
        let key = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let signature =
            sign(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}");
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn answers_are_read_by_what_is_to_be_done() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let of = |status: u16, after: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(after) = after {
                headers.insert(RETRY_AFTER, HeaderValue::from_str(after).expect("a header"));
            }
            answer(StatusCode::from_u16(status).expect("a status"), &headers, now)
        };
        for status in [200, 202, 204] {
            assert_eq!(of(status, None), Answer::Taken, "{status}");
        }
        for status in [408, 425, 429, 500, 503] {
            assert!(matches!(of(status, None), Answer::Later { after: None, .. }), "{status}");
        }
        for status in [301, 307, 400, 401, 404, 410] {
            assert!(matches!(of(status, None), Answer::Refused { .. }), "{status}");
        }
        let wait = |after| match of(503, Some(after)) {
            Answer::Later { after, .. } => after,
            other => panic!("{other:?}"),
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Mon, 12 Jan 1970 13:47:10 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(wait("99999999"), Some(RETRY_AFTER_MAX));
        assert_eq!(wait("soon"), None);
    }

    #[test]
    fn a_secret_that_can_be_guessed_is_refused_without_telling_it() {
        for secret in ["hunter2", "whsec_aHVudGVyMg==", "whsec_%%%"] {
            let error = key(secret).expect_err("too short").to_string();
            assert!(!error.contains("hunter2") && error.contains("base64"), "{error}");
        }
    }
}
