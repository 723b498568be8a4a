//! Lakes in buckets, through the binary: S3 and Azure Blob, by the variables that everyone uses.

use std::process::Stdio;

use serde_json::Value;

use crate::harness::{Project, data, needs};

/// A server and the variables that lead to it.
struct Server {
    scheme: &'static str,
    variables: Vec<(&'static str, String)>,
}

/// The account and the key of every emulator of Azure.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

fn servers() -> Vec<Server> {
    let s3 = needs("TIDEGAUGE_TEST_S3").map(|endpoint| Server {
        scheme: "s3",
        variables: vec![
            ("AWS_ENDPOINT_URL", endpoint),
            ("AWS_ALLOW_HTTP", "true".into()),
            ("AWS_ACCESS_KEY_ID", "test".into()),
            ("AWS_SECRET_ACCESS_KEY", "hunter2".into()),
        ],
    });
    let azure = needs("TIDEGAUGE_TEST_AZURE").map(|endpoint| Server {
        scheme: "az",
        variables: vec![
            ("AZURE_STORAGE_ENDPOINT", format!("{endpoint}/{ACCOUNT}")),
            ("AZURE_ALLOW_HTTP", "true".into()),
            ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT.into()),
            ("AZURE_STORAGE_ACCOUNT_KEY", KEY.into()),
        ],
    });
    s3.into_iter().chain(azure).collect()
}

impl Server {
    fn fresh_url(&self) -> String {
        format!("{}://tidegauge/it/{:016x}", self.scheme, rand::random::<u64>())
    }

    /// Runs a command; gives whether it succeeded and all that it said.
    fn run(&self, project: &Project, args: &[&str]) -> (bool, String) {
        let mut command = project.command(args);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let output = command.stdin(Stdio::null()).output().expect("the binary starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = said + &String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("panicked") && !said.contains("hunter2"), "{said}");
        (output.status.success(), said)
    }

    fn ok(&self, project: &Project, args: &[&str]) -> String {
        let (succeeded, said) = self.run(project, args);
        assert!(succeeded, "{args:?} said:\n{said}");
        said
    }

    fn predictions(&self, project: &Project, lake: &str) -> Vec<Value> {
        let sql = r#"SELECT "Device", "Sensor", window_end, mean, n_readings, score, status
                     FROM predictions ORDER BY "Device", "Sensor", window_end"#;
        let printed = self.ok(project, &["query", "--lake", lake, "--format", "json", sql]);
        printed.lines().map(|line| serde_json::from_str(line).expect("a row of JSON")).collect()
    }
}

#[test]
fn stored_readings_are_scored_into_a_bucket_and_proven_there() {
    for server in servers() {
        let project = Project::new("127.0.0.1:1");
        let (readings, models) = (data("seedlike/readings.csv"), data("seedlike/models"));
        let (readings, models) = (readings.display().to_string(), models.display().to_string());
        let (home, url) = (server.fresh_url(), server.fresh_url());
        let configured = format!("lake.url={home}");
        let with = |args: &[&'static str]| [args, &["-c", "tidegauge.toml", "--set"]].concat();
        server.ok(
            &project,
            &[
                &with(&["models", "import"])[..2],
                &[&models, "-c", "tidegauge.toml", "--set", &configured],
            ]
            .concat(),
        );
        let listed =
            server.ok(&project, &[&with(&["models", "list"])[..], &[&configured]].concat());
        assert!(listed.contains("15 models") && listed.contains("champion"), "{listed}");

        let score = ["score", &readings, "-c", "tidegauge.toml", "--set", &configured, "-o"];
        server.ok(&project, &[&score[..], &[&url]].concat());
        let proof = server.ok(&project, &["verify", &url]);
        assert!(proof.contains("proven: no gap"), "{proof}");
        server.ok(&project, &[&score[..], &["local"]].concat());
        let rows = server.predictions(&project, &url);
        assert_eq!(rows.len(), 3000, "{}", server.scheme);
        assert_eq!(rows, server.predictions(&project, "local"));
        let refused = server.run(&project, &[&score[..], &[&format!("{home}/")]].concat());
        assert!(
            !refused.0 && refused.1.contains("--output is the configured lake"),
            "{}",
            refused.1
        );
    }
}

#[test]
fn a_run_commits_to_a_bucket_and_goes_on_there() {
    for server in servers() {
        let project = Project::new("127.0.0.1:1");
        let readings = data("seedlike/readings.csv").display().to_string();
        let lake = format!("lake.url={}", server.fresh_url());
        let paths = format!("source.paths={readings}");
        let set = ["--set", "source.kind=files", "--set", &paths, "--set", &lake];
        let check = [&["check", "-c", "tidegauge.toml"][..], &set].concat();
        let empty = server.ok(&project, &check);
        assert!(empty.contains("holds no lake yet"), "{empty}");
        let run = [&["run", "-c", "tidegauge.toml", "--until-idle", "1s"][..], &set].concat();
        server.ok(&project, &run);
        server.ok(&project, &run);
        let found = server.ok(&project, &check);
        assert!(found.contains("is this pipeline's: generation 1, 1 lanes"), "{found}");
        let url = lake.trim_start_matches("lake.url=");
        let proof = server.ok(&project, &["verify", url]);
        assert!(proof.contains("proven: no gap"), "{proof}");
        assert_eq!(server.predictions(&project, url).len(), 3000);
    }
}

#[test]
fn fm_29_a_bucket_that_is_not_there_ends_with_one_clear_line() {
    for server in servers() {
        let project = Project::new("127.0.0.1:1");
        let readings = data("seedlike/readings.csv").display().to_string();
        let url = format!("{}://nobodys-bucket/lake", server.scheme);
        let score = ["score", &readings, "-c", "tidegauge.toml", "-o", &url];
        for args in [&score[..], &["verify", &url]] {
            let (succeeded, said) = server.run(&project, args);
            assert!(!succeeded && said.contains(&url), "{said}");
            assert!(said.contains("the bucket or container does not exist"), "{said}");
        }
    }
}
