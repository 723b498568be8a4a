//! By which names we may be asked, and from which sites a change may come.
//!
//! *Why*: a page of another site can make a browser ask us. By a name of its own that leads to our
//! address it would even read the answers (DNS rebinding), so names that are not ours are refused; and a
//! request that changes something must come from our own page, or from no page.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri};

use super::refusal::{Refusal, Refused};
use super::settings::{HttpSettings, is_loopback};

#[derive(Debug)]
pub(super) struct Hosts {
    listen: IpAddr,
    allowed: Vec<String>,
}

impl Hosts {
    pub(super) fn new(settings: &HttpSettings) -> Self {
        Self {
            listen: settings.listen.ip().to_canonical(),
            allowed: settings.allowed_hosts.clone(),
        }
    }

    /// Whether a request asks us by a name of ours.
    pub(super) fn check(&self, request: &Request) -> Result<(), Refusal> {
        let wrong = |what: String| {
            let refusal = Refusal::new(StatusCode::MISDIRECTED_REQUEST, what);
            Err(refusal.because(Refused::Host))
        };
        let Some(authority) = authority(request.uri(), request.headers()) else {
            return wrong("the request has no proper Host".to_owned());
        };
        let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
        match self.is_ours(&host) {
            true => Ok(()),
            false => wrong(format!(
                "{host:?} is no name of this server: ask by its address, or add the name to [http] \
                 allowed_hosts"
            )),
        }
    }

    fn is_ours(&self, host: &str) -> bool {
        if self.allowed.iter().any(|allowed| allowed == host) {
            return true;
        }
        let here = self.listen.is_unspecified();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match address.map(|address| address.to_canonical()) {
            Ok(address) => {
                here || address == self.listen || is_loopback(self.listen) && is_loopback(address)
            }
            // Browsers never ask the net for this name.
            Err(_) => host == "localhost" && (here || is_loopback(self.listen)),
        }
    }
}

/// Whom the request says that it asks. One header, or none of them counts.
fn authority(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let mut hosts = headers.get_all(HOST).iter();
    let host: Authority = hosts.next()?.to_str().ok()?.parse().ok()?;
    let plain = hosts.next().is_none() && !host.as_str().contains('@');
    // A proxy's form of the request line names a host too: it must be the same.
    let same = uri.authority().is_none_or(|named| named == &host);
    (plain && same).then_some(host)
}

/// That a request which changes something comes from our own page, or from no page at all.
pub(super) fn same_origin(request: &Request) -> Result<(), Refusal> {
    let headers = request.headers();
    let foreign = |what: &str| {
        let error = format!("{what}: changes are taken from this server's own page only");
        Err(Refusal::new(StatusCode::FORBIDDEN, error).because(Refused::Origin))
    };
    if let Some(site) = headers.get("sec-fetch-site")
        && !matches!(site.as_bytes(), b"same-origin" | b"none")
    {
        return foreign("another site asks (Sec-Fetch-Site)");
    }
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let host = authority(request.uri(), headers);
    let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    let same = match (&host, origin.as_ref()) {
        (Some(host), Some(origin)) => is_same(host, origin),
        _ => false,
    };
    if same { Ok(()) } else { foreign("another site asks (Origin)") }
}

fn is_same(host: &Authority, origin: &Uri) -> bool {
    let usual = match origin.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return false,
    };
    let Some(origin) = origin.authority() else { return false };
    // The scheme is not ours to know: a proxy in front may have ended TLS.
    let port = |authority: &Authority| authority.port_u16().unwrap_or(usual);
    origin.host().eq_ignore_ascii_case(host.host()) && port(origin) == port(host)
}

/// That a body is told to be JSON.
pub(super) fn is_json(headers: &HeaderMap) -> Result<(), Refusal> {
    match is_type(headers, "application/json") {
        true => Ok(()),
        false => Err(wrong_type("application/json")),
    }
}

/// Whether the body is of a type, whatever its parameters.
pub(super) fn is_type(headers: &HeaderMap, wanted: &str) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let given = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    given.trim().eq_ignore_ascii_case(wanted)
}

pub(super) fn wrong_type(wanted: &str) -> Refusal {
    let error = format!("the body must be told to be {wanted} (Content-Type)");
    Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error)
}

#[cfg(test)]
mod tests;
