//! The PDP's configuration file: any text is taken or refused with file, line, key and what was expected; what is taken is
//! within its bounds and can be used.
//!
//! Input: the text. Octets that are no UTF-8 are replaced, as no reader would hand them on.

use pdp_server::config::Config;
use power_policy::grouping::Grouping;

/// See the module.
pub fn run(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let read = Config::from_toml("pdp.toml", &text);
    if reads_again(&text) {
        assert_eq!(
            read,
            Config::from_toml("pdp.toml", &text),
            "the same text is the same file"
        );
    }
    match read {
        Ok(config) => check(&config),
        Err(error) => {
            assert_eq!(error.file, "pdp.toml");
            assert!(
                (1..=text.matches('\n').count() + 1).contains(&error.line),
                "line {} of a file of {} lines",
                error.line,
                text.matches('\n').count() + 1
            );
            assert!(!error.problem.is_empty());
            assert!(!error.to_string().contains('\n'), "one line: {error}");
        }
    }
}

/// One text in eight is read twice, which costs as much again.
pub(crate) const fn reads_again(text: &str) -> bool {
    text.len().is_multiple_of(8)
}

fn check(config: &Config) {
    let listen = &config.listen;
    assert!(listen.allow_plain || listen.address.ip().is_loopback());
    for (what, bound) in [
        ("max_connections", listen.max_connections),
        ("max_connections_per_address", listen.max_connections_per_address),
        ("max_unopened", listen.max_unopened),
        ("max_unopened_per_address", listen.max_unopened_per_address),
        ("max_message_octets", listen.max_message_octets as usize),
    ] {
        assert!(bound > 0, "{what} allows something");
    }
    for (what, millis) in [
        ("open_timeout", listen.open_timeout_millis),
        ("write_timeout", listen.write_timeout_millis),
        ("frame_timeout", listen.frame_timeout_millis),
    ] {
        assert!((1_000..=3_600_000).contains(&millis), "{what}");
    }
    assert!(
        Grouping::new(config.grouping.clone()).is_ok(),
        "a grouping that was checked holds together"
    );
    for scale in [1, 1_000] {
        let policy = config.scaled_policy(scale);
        assert!(policy.mains_good_millis <= policy.mains_good_max_millis);
        assert!(policy.report_period_millis > 0);
    }
}
