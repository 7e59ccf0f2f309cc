//! Wrong files: one line that names the file, the line, the key and what was expected, and an exit status.

use std::path::Path;
use std::process::{Command, Output};

use system_tests::cluster_run::{ClusterOptions, PdpRun};
use system_tests::process::program;

fn run(name: &str, arguments: &[&str], folder: &Path) -> Output {
    // One that is not refused would run for ever, and then the test shall fail, not hang.
    Command::new("timeout")
        .args(["--kill-after=1", "60"])
        .arg(program(name).unwrap())
        .args(arguments)
        .current_dir(folder)
        .env("RUST_LOG", "warn")
        .output()
        .unwrap()
}

/// The one line that a program printed before it failed with this status.
fn one_line(output: &Output, status: i32) -> String {
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    text
}

const PDP: &str = r#"[listen]
address = "127.0.0.1:0"
[journal]
path = "journal.sqlite"
[admin]
socket = "pdp.sock"
"#;

#[test]
fn a_wrong_file_is_told_by_file_line_key_and_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let agent = "[agent]\nname = \"n1\"\nstate_dir = \"s\"\n[pdp]\naddress = \"127.0.0.1:1\"\n";
    let plant = "socket = \"plant.sock\"\nlog_folder = \"logs\"\n[[domain]]\nname = \"feed\"\n";
    // Program, verb, its file, and what the line must say beside the name of the file.
    let wrong: [(&str, &str, String, &[&str]); 9] = [
        (
            "pdp-server",
            "run",
            format!("{PDP}[policy]\ndebounce_seconds = 3\n"),
            &[":8:", "policy.debounce_seconds", "unknown field", "expected"],
        ),
        (
            "pdp-server",
            "run",
            format!("{PDP}[policy]\ndebounce_milliseconds = 700000\n"),
            &[":8:", "policy.debounce_milliseconds", "expected", "600000"],
        ),
        (
            "pdp-server",
            "run",
            PDP.replace("127.0.0.1:0", "localhost"),
            &[":2:", "listen.address", "expected IP:PORT"],
        ),
        (
            "pdp-server",
            "run",
            PDP.replace("127.0.0.1", "0.0.0.0"),
            &[":2:", "listen.address", "not loopback", "allow_plain = true"],
        ),
        (
            "pdp-server",
            "run",
            "[listen]\naddress = 5\n".into(),
            &[":2:", "listen.address", "expected a string"],
        ),
        (
            "pep-agent",
            "run",
            format!("{agent}[[server]]\nname = \"n1\"\ndriver = \"magic\"\n"),
            &[":8:", "server[0].driver", "magic", "expected"],
        ),
        (
            "pep-agent",
            "run",
            agent.replace("127.0.0.1:1", "somewhere"),
            &[":5:", "pdp.address", "expected"],
        ),
        (
            "pep-agent",
            "plant",
            format!("{plant}[[domain]]\nname = \"feed\"\n"),
            &[":6:", "domain[1].name", "feed"],
        ),
        (
            "pep-agent",
            "plant",
            format!("{plant}colour = 1\n"),
            &[":5:", "domain[0].colour", "unknown field", "expected"],
        ),
    ];
    for (program, verb, text, expected) in wrong {
        let file = folder.path().join(format!("{program}.toml"));
        std::fs::write(&file, &text).unwrap();
        let file = file.to_str().unwrap();
        let said = one_line(&run(program, &[verb, "--config", file], folder.path()), 2);
        assert!(
            said.starts_with(&format!("{program}: {file}:")),
            "{said} for\n{text}"
        );
        for word in expected {
            assert!(said.contains(word), "expected {word:?} in {said} for\n{text}");
        }
    }
}

#[test]
fn a_journal_that_cannot_be_read_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pdp.toml");
    std::fs::write(&file, PDP).unwrap();
    let journal = folder.path().join("journal.sqlite");
    let refused = |what: &[&str]| {
        let output = run(
            "pdp-server",
            &["run", "--config", file.to_str().unwrap()],
            folder.path(),
        );
        let said = one_line(&output, 1);
        assert!(said.starts_with("pdp-server: "), "{said}");
        assert!(said.contains(journal.to_str().unwrap()), "{said}");
        for word in what {
            assert!(said.contains(word), "expected {word:?} in {said}");
        }
        assert!(!folder.path().join("pdp.sock").exists(), "its socket is gone");
    };
    let text = "this is somebody's diary, and no database\n".repeat(100);
    std::fs::write(&journal, &text).unwrap();
    refused(&[]);
    assert_eq!(
        std::fs::read_to_string(&journal).unwrap(),
        text,
        "it is left alone"
    );
    std::fs::remove_file(&journal).unwrap();
    std::fs::create_dir(&journal).unwrap();
    refused(&[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_cops_beyond_loopback_is_warned_of_where_it_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let mut pdp = PdpRun::start(folder.path(), &ClusterOptions::default())
        .await
        .unwrap();
    pdp.terminate().unwrap();
    let text = std::fs::read_to_string(pdp.config()).unwrap();
    let own = format!("address = \"{}\"", pdp.address());
    let everywhere = text.replace(&own, "address = \"0.0.0.0:0\"\nallow_plain = true");
    assert_ne!(text, everywhere);
    std::fs::write(pdp.config(), everywhere).unwrap();
    let status = pdp.start_again().await.unwrap();
    let warned = |text: &str| text.contains("without protection on 0.0.0.0");
    assert!(
        status.warnings.iter().any(|text| warned(text)),
        "{:?}",
        status.warnings
    );
    assert!(warned(&pdp.log()), "{}", pdp.log());
}
