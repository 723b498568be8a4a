//! The page's files: all of them are served, and none does what the page promises not to do.

use std::fs;
use std::path::{Path, PathBuf};

use super::{FILES, all};

/// What would make markup or code of data, or ask another host.
const FORBIDDEN: [&str; 8] = [
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "document.write",
    "eval(",
    "new Function",
    "https://",
    "http://",
];
/// The name space of SVG, which is a name and never asked for.
const SVG: &str = "http://www.w3.org/2000/svg";

fn folder() -> PathBuf {
    PathBuf::from("assets")
}

/// Paths of files in the folder, as they are served.
fn files(folder: &Path, prefix: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("the folder of assets") {
        let entry = entry.expect("an entry");
        let path = format!("{prefix}/{}", entry.file_name().to_string_lossy());
        match entry.path().is_dir() {
            true => files(&entry.path(), &path, found),
            false => found.push(path),
        }
    }
}

fn own() -> impl Iterator<Item = (&'static str, &'static str)> {
    let texts = FILES.into_iter().filter(|(path, ..)| !path.starts_with("/vendor/"));
    texts.map(|(path, _, bytes)| (path, std::str::from_utf8(bytes).expect("UTF-8")))
}

#[test]
fn each_file_of_the_folder_is_served() {
    let mut found = Vec::new();
    files(&folder(), "", &mut found);
    for path in found {
        // The login page is not one of the page's: it is there for those who have no key yet.
        if path.starts_with("/login") {
            continue;
        }
        let served = if path == "/index.html" { "/" } else { path.as_str() };
        assert!(all().iter().any(|asset| asset.path == served), "{path} is not in the table");
    }
}

#[test]
fn no_file_of_ours_makes_markup_of_data_or_names_another_host() {
    for (path, text) in own() {
        let text = text.replace(SVG, "");
        for word in FORBIDDEN {
            assert!(!text.contains(word), "{path} holds {word:?}");
        }
    }
}

#[test]
fn the_document_has_no_script_or_style_in_it() {
    let (_, html) = own().find(|(path, _)| *path == "/").expect("the document");
    assert!(!html.contains("<style") && !html.contains("style=\""), "a style within the document");
    for script in html.split("<script").skip(1) {
        assert!(script.contains("src=\"") && script.contains("></script>"), "an inline script");
    }
    for word in [" onclick", " onload", " onerror", "javascript:"] {
        assert!(!html.contains(word), "{word:?} within the document");
    }
}

#[test]
fn what_the_document_and_modules_name_is_served() {
    for (path, text) in own() {
        let here = Path::new(path).parent().unwrap_or(Path::new("/"));
        let named = text.split('"').skip(1).step_by(2);
        for name in named.filter(|name| name.ends_with(".js") || name.ends_with(".css")) {
            let mut target = here.to_path_buf();
            for part in name.split('/') {
                match part {
                    "." => {}
                    ".." => drop(target.pop()),
                    part => target.push(part),
                }
            }
            let target = target.to_string_lossy().into_owned();
            assert!(all().iter().any(|asset| asset.path == target), "{path} names {name}");
        }
    }
}

/// What is asked for only when there is time, or a sensor is opened.
const LATER: [&str; 2] = ["/chart.js", "/vendor/uplot.js"];

#[test]
fn each_module_that_a_view_begins_with_is_asked_for_at_once() {
    let (_, html) = own().find(|(path, _)| *path == "/").expect("the document");
    let modules = all().iter().filter(|asset| asset.path.ends_with(".js"));
    for asset in modules.filter(|asset| !LATER.contains(&asset.path)) {
        let name = asset.path.trim_start_matches('/');
        assert!(html.contains(&format!("\"{name}\"")), "{name} is found only after other modules");
    }
}
