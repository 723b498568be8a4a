//! What a browser is given, and what it is told that it may do with it.

use super::{HttpLimits, start, start_with_keys};
use crate::http::assets;

#[test]
fn every_answer_says_what_a_browser_may_do_with_it() {
    let (fixture, _) = start_with_keys();
    for line in ["GET /", "GET /health/live", "GET /login", "POST /nothing", "GET /api/v1/info"] {
        let answer = fixture.request(line, &[("accept", "text/html")], "");
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{line}");
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"), "{line}");
        assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"), "{line}");
        assert!(answer.header("cache-control").is_some(), "{line}");
        assert_eq!(answer.header("server"), None, "{line}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{line}");
        assert_eq!(answer.header("strict-transport-security"), None, "only with TLS");
    }
}

#[test]
fn no_page_has_a_script_or_a_style_in_it() {
    let fixture = start(HttpLimits::default());
    let (locked, _) = start_with_keys();
    let form = locked.request("GET /", &[("accept", "text/html")], "");
    let mut pages = vec![("/login".to_owned(), form.body)];
    for asset in assets::all() {
        let answer = fixture.request(&format!("GET {}", asset.path), &[], "");
        assert_eq!(answer.status, 200, "{}", asset.path);
        if answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
            pages.push((asset.path.to_owned(), answer.body));
        }
    }
    for (path, page) in pages {
        assert_eq!(inline(&page), None, "{path}");
    }
    assert_eq!(inline("<p onclick=\"x()\">"), Some(" onclick=\"x()\"".to_owned()));
    assert_eq!(inline("<script src=\"/a.js\"></script>"), None);
    assert!(inline("<script>x</script>").is_some() && inline("<p style=\"a\">").is_some());
}

/// What the policy would forbid: scripts and styles in the page, and handlers and styles of elements.
fn inline(page: &str) -> Option<String> {
    let lower = page.to_lowercase();
    for tag in lower.split('<').skip(1).filter_map(|rest| rest.split('>').next()) {
        if tag.starts_with("style") || tag.starts_with("script") && !tag.contains("src=") {
            return Some(tag.to_owned());
        }
        let handler = tag.split_whitespace().skip(1).find(|attribute| {
            attribute.starts_with("style=")
                || attribute.starts_with("on") && attribute.contains('=')
        });
        if let Some(handler) = handler {
            return Some(format!(" {handler}"));
        }
    }
    lower.contains("javascript:").then(|| "javascript:".to_owned())
}

#[test]
fn a_browser_that_has_a_file_is_told_so() {
    let fixture = start(HttpLimits::default());
    let first = fixture.request("GET /", &[], "");
    let etag = first.header("etag").expect("a tag").to_owned();
    assert_eq!(first.header("cache-control"), Some("no-cache"));
    let again = fixture.request("GET /", &[("if-none-match", &format!("\"x\", W/{etag}"))], "");
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    assert_eq!(fixture.request("GET /", &[("if-none-match", "\"x\"")], "").status, 200);
    let head = fixture.request("HEAD /", &[], "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}
