//! `[[notify]]` as it may and may not be written.

#![allow(clippy::unwrap_used, clippy::disallowed_types, clippy::disallowed_methods)]

use pdp_server::config::{Config, NotifyTo};

const BASE: &str = "[listen]\naddress = \"127.0.0.1:0\"\n[journal]\npath = \"j\"\n[admin]\nsocket = \"s\"\n[[notify]]\nname = \"a\"\n";

fn read(rest: &str) -> Result<Config, String> {
    Config::from_toml("pdp.toml", &format!("{BASE}{rest}")).map_err(|error| error.to_string())
}

#[test]
fn a_webhook_and_a_program_are_understood() {
    let config = read("webhook = \"http://127.0.0.1:9/x?y=1\"\nattempts = 2\n").unwrap();
    let notify = &config.notify[0];
    assert_eq!((notify.attempts, notify.timeout_millis), (2, 10_000));
    assert_eq!(notify.kinds.len(), 8);
    assert_eq!(
        notify.to,
        NotifyTo::Webhook {
            authority: "127.0.0.1:9".to_owned(),
            path: "/x?y=1".to_owned(),
            authorities: None,
            token: None
        }
    );
    let config = read("command = [\"page\", \"me\"]\nkinds = [\"shed\"]\n").unwrap();
    assert_eq!(
        config.notify[0].to,
        NotifyTo::Command(vec!["page".to_owned(), "me".to_owned()])
    );
}

#[test]
fn what_is_wrong_is_said_with_what_was_expected() {
    for (rest, expected) in [
        ("", "expected `webhook` or `command`"),
        (
            "webhook = \"http://h/\"\ncommand = [\"x\"]\n",
            "expected either `webhook` or `command`",
        ),
        ("command = []\n", "expected a program and its arguments"),
        ("webhook = \"ftp://h/\"\n", "expected an http or https URL"),
        ("webhook = \"/path\"\n", "with a host"),
        ("webhook = \"https://h/\"\n", "expected `authorities`"),
        ("webhook = \"http://u:p@h/\"\n", "expected no user in the URL"),
        (
            "webhook = \"http://h/\"\ntoken = \"t\"\n",
            "expected https beyond loopback",
        ),
        (
            "command = [\"x\"]\ntoken = \"t\"\n",
            "expected it beside `webhook` only",
        ),
        (
            "command = [\"x\"]\nkinds = [\"nothing\"]\n",
            "unknown variant `nothing`",
        ),
        ("command = [\"x\"]\nattempts = 0\n", "out of range"),
        (
            "command = [\"x\"]\n[[notify]]\nname = \"a\"\ncommand = [\"y\"]\n",
            "is there twice",
        ),
    ] {
        let said = read(rest).unwrap_err();
        assert!(said.contains(expected), "{rest}: {said}");
        assert!(said.starts_with("pdp.toml:"), "{said}");
    }
}
