use super::*;

const SMALLEST: &str = r#"
[listen]
address = "127.0.0.1:0"
[journal]
path = "j"
[admin]
socket = "s"
"#;

fn refused(more: &str) -> String {
    let text = format!("{SMALLEST}{more}");
    parse("pdp.toml", &text).unwrap_err().to_string()
}

#[test]
fn a_redirect_names_another_pdp_by_its_address() {
    let config = |more: &str| parse("pdp.toml", &format!("{SMALLEST}{more}"));
    assert_eq!(config("").unwrap().redirect, None);
    for to in ["192.0.2.7:3288", "[2001:db8::7]:3288"] {
        let read = config(&format!("[redirect]\nto = \"{to}\"\n")).unwrap();
        assert_eq!(read.redirect, Some(to.parse().unwrap()));
    }
    for (to, problem) in [
        ("pdp-2:3288", "is no address"),
        ("127.0.0.1:0", "own address"),
        ("0.0.0.0:3288", "nowhere to connect to"),
        ("192.0.2.7:0", "nowhere to connect to"),
    ] {
        let said = refused(&format!("[redirect]\nto = \"{to}\"\n"));
        assert!(
            said.contains("redirect.to") && said.contains(problem),
            "{to}: {said}"
        );
    }
}

#[test]
fn the_example_listens_on_the_port_of_cops_c_2_3_02() {
    let config = parse("pdp.toml", include_str!("../../examples/pdp.toml")).unwrap();
    assert_eq!(config.listen.address.port(), 3288);
}

#[test]
fn the_example_loads_and_shows_the_defaults() {
    let text = include_str!("../../examples/pdp.toml");
    let config = parse("pdp.toml", text).unwrap();
    assert_eq!(config.name.as_str(), "pdp-1");
    assert_eq!(config.peers.rules.len(), 2);
    assert!(config.peers.is_armed(&Name::new("node-7").unwrap()));
    assert!(!config.peers.is_armed(&Name::new("stranger").unwrap()));
    // Each commented key with its default means the same as without it.
    let uncommented: String = text
        .lines()
        .map(|l| match l.strip_prefix("# ") {
            Some(rest) if rest.split(' ').nth(1) == Some("=") => format!("{rest}\n"),
            _ => format!("{l}\n"),
        })
        .collect();
    let mut shown = parse("pdp.toml", &uncommented).unwrap();
    assert_ne!(uncommented, text);
    assert!(shown.report_period_is_given);
    shown.report_period_is_given = false;
    assert_eq!(shown, config);
}

#[test]
fn people_are_served_beyond_loopback_with_tls_or_where_the_file_allows_plain() {
    let config = |more: &str| {
        let text = format!("{SMALLEST}[web]\naddress = \"192.0.2.7:8088\"\ntokens = \"t\"\n{more}");
        parse("pdp.toml", &text).unwrap().web.unwrap()
    };
    assert!(!config("certificate = \"c\"\nkey = \"k\"").is_plain_beyond_loopback());
    assert!(config("allow_plain = true").is_plain_beyond_loopback());
}

#[test]
fn the_smallest_file_is_enough() {
    let config = parse("pdp.toml", SMALLEST).unwrap();
    assert_eq!(config.policy, PowerPolicy::default());
    assert_eq!(config.cops.keep_alive_seconds, 10);
    assert_eq!(config.journal.on_unreadable, OnUnreadable::Refuse);
    assert!(!config.peers.default_armed);
}

#[test]
fn every_refusal_names_file_line_key_and_what_was_expected() {
    for (more, expected) in [
        (
            "[policy]\ndebounce_ms = 3",
            "pdp.toml:9: policy.debounce_ms: unknown field `debounce_ms`, expected one of",
        ),
        (
            "[policy]\ndebounce_milliseconds = \"3\"",
            "pdp.toml:9: policy.debounce_milliseconds: invalid type: string \"3\", expected u64",
        ),
        (
            "[policy]\ndebounce_milliseconds = 600001",
            "pdp.toml:9: policy.debounce_milliseconds: 600001 is out of range; expected 0 to 600000",
        ),
        (
            "[policy]\nmode = \"fast\"",
            "pdp.toml:9: policy.mode: unknown variant `fast`, expected `default` or `survive`",
        ),
        (
            "[policy]\nmains_good_seconds = 60\nmains_good_max_seconds = 5",
            "pdp.toml:10: policy.mains_good_max_seconds: mains_good_max_seconds (5) is below mains_good_seconds (60)",
        ),
        (
            "[[peer]]\nname = \"a\"\n[[peer]]\nname = \"a\"",
            "pdp.toml:11: peer.name: peer 'a' is there twice",
        ),
        (
            "[[peer]]\nname = \"a\"\nservers = [\"x\", \"[z-a]\"]",
            "pdp.toml:10: peer.servers: the range z-a at offset 1 runs backwards",
        ),
        ("[[peer]]\narmed = true", "pdp.toml:8: peer: missing field `name`"),
        (
            "[qos.gold]\npriority = 70000",
            "pdp.toml:9: qos.gold.priority: invalid value: integer `70000`, expected u16",
        ),
        (
            "[qos.gold]\npriority = 1\ntarget_seconds = \"soon\"",
            "pdp.toml:10: qos.gold.target_seconds: a number of seconds, or \"forever\"",
        ),
        (
            "[[set]]\nname = \"a\"",
            "pdp.toml:9: set.name: the set has no priority; expected qos",
        ),
        (
            "[[set]]\nname = \"a\"\nqos = \"tin\"",
            "pdp.toml:9: set.name: set a names qos tin, which is not defined",
        ),
        (
            "[qos.gold]\npriority = 1\n[[set]]\nname = \"a\"\nqos = \"gold\"\npriority = 2",
            "pdp.toml:12: set.qos: a set takes its priority from qos or from priority, not from both",
        ),
        (
            "[[group]]\nmatch = \"name\"\nset = \"a\"",
            "pdp.toml:10: group.set: the rule has no pattern; expected pattern",
        ),
        (
            "[[group]]\nmatch = \"any\"\nset = \"a\"",
            "pdp.toml:10: group.set: the rule gives set a, which is neither defined nor the name of a qos",
        ),
        (
            "[[group]]\nmatch = \"regex\"\nset = \"a\"",
            "pdp.toml:9: group.match: unknown variant `regex`, expected one of",
        ),
        (
            "[[domain]]\nname = \"a\"\nfacility_witness = \"\"",
            "pdp.toml:10: domain.facility_witness: a name has at least one character",
        ),
        (
            "[cops]\nhold_seconds = 0",
            "pdp.toml:9: cops.hold_seconds: 0 is out of range; expected 1 to 604800",
        ),
        (
            "[web]\naddress = \"192.0.2.7:8088\"\ntokens = \"t\"",
            "pdp.toml:9: web.address: 192.0.2.7:8088 is not loopback, and over plain HTTP whoever listens",
        ),
        (
            "[web]\naddress = \"127.0.0.1:8088\"",
            "pdp.toml:8: web: missing field `tokens`",
        ),
        (
            "[web]\naddress = \"127.0.0.1:8088\"\ntokens = \"t\"\nkey = \"k\"",
            "pdp.toml:11: web.key: expected `certificate` beside `key`",
        ),
        ("[tsl]\n", "pdp.toml:8: tsl: unknown field `tsl`, expected one of"),
        ("x = = 1", "pdp.toml:8: admin.x: "),
    ] {
        let message = refused(more);
        assert!(
            message.starts_with(expected),
            "{more:?}\n gave {message}\n not {expected}"
        );
    }
}

#[test]
fn plain_cops_beyond_loopback_must_be_allowed() {
    let open = SMALLEST.replace("127.0.0.1:0", "0.0.0.0:3288");
    let message = parse("pdp.toml", &open).unwrap_err().to_string();
    assert!(
        message.starts_with("pdp.toml:3: listen.address: 0.0.0.0:3288 is not loopback"),
        "{message}"
    );
    let allowed = open.replace("[journal]", "allow_plain = true\n[journal]");
    let config = parse("pdp.toml", &allowed).unwrap();
    assert!(config.is_plain_beyond_loopback());
    let nonsense = SMALLEST.replace("127.0.0.1:0", "localhost");
    let message = parse("pdp.toml", &nonsense).unwrap_err().to_string();
    assert!(
        message.contains("'localhost' is no address; expected IP:PORT"),
        "{message}"
    );
}

#[test]
fn integrity_has_a_mode_and_keys_and_protects_beyond_loopback() {
    assert_eq!(parse("pdp.toml", SMALLEST).unwrap().integrity, None);
    let with = |table: &str, listen: &str| {
        let text = SMALLEST.replace("127.0.0.1:0", listen);
        parse("pdp.toml", &format!("{text}\n[integrity]\n{table}\n"))
    };
    let off = with("mode = \"off\"", "127.0.0.1:0").unwrap();
    assert_eq!(off.integrity, None);
    let required = "mode = \"required\"\nkeys = \"keys.toml\"";
    let config = with(required, "0.0.0.0:3288").unwrap();
    assert!(!config.is_plain_beyond_loopback());
    let integrity = config.integrity.clone().unwrap();
    assert!(integrity.required);
    assert_eq!(integrity.keys, std::path::Path::new("keys.toml"));
    let mut beside = config.journal.path.clone().into_os_string();
    beside.push(".numbers");
    assert_eq!(config.numbers_path(), std::path::PathBuf::from(beside));
    let elsewhere = format!("{required}\nnumbers = \"n\"");
    let config = with(&elsewhere, "127.0.0.1:0").unwrap();
    assert_eq!(config.numbers_path(), std::path::Path::new("n"));

    // A PEP may do without: that is not protected.
    let optional = "mode = \"optional\"\nkeys = \"keys.toml\"";
    assert!(!with(optional, "127.0.0.1:0").unwrap().integrity.unwrap().required);
    let message = with(optional, "0.0.0.0:3288").unwrap_err().to_string();
    assert!(message.contains("[integrity] mode = \"required\""), "{message}");
    let message = with("mode = \"required\"", "127.0.0.1:0")
        .unwrap_err()
        .to_string();
    assert!(message.contains("integrity: expected `keys`"), "{message}");
    with("mode = \"perhaps\"", "127.0.0.1:0").unwrap_err();
    with("keys = \"keys.toml\"", "127.0.0.1:0").unwrap_err();
}

#[test]
fn the_report_period_follows_the_accounting_timer_and_the_clock_scale() {
    let config = parse("pdp.toml", &format!("{SMALLEST}[cops]\naccounting_seconds = 2")).unwrap();
    assert_eq!(config.scaled_policy(1).report_period_millis, 2_000);
    assert_eq!(config.scaled_policy(30).report_period_millis, 60_000);
    let given = parse(
        "pdp.toml",
        &format!("{SMALLEST}[policy]\nreport_period_seconds = 7"),
    )
    .unwrap();
    assert_eq!(given.scaled_policy(30).report_period_millis, 7_000);
}

#[test]
fn a_report_period_that_would_make_every_figure_stale_is_refused() {
    let with = |more: &str| parse("pdp.toml", &format!("{SMALLEST}{more}"));
    let error = with("[policy]\nreport_period_seconds = 3").unwrap_err();
    assert_eq!(
        error.to_string(),
        "pdp.toml:9: policy.report_period_seconds: 3 is too short where figures come every 10 s \
         (cops.accounting_seconds) and count as stale after three periods; expected at least 4"
    );
    with("[policy]\nreport_period_seconds = 4").unwrap();
    with("[policy]\nreport_period_seconds = 3\n[cops]\naccounting_seconds = 9").unwrap();
    with("[policy]\nreport_period_seconds = 3\n[cops]\naccounting_seconds = 10").unwrap_err();
}

#[test]
fn the_first_peer_rule_that_covers_the_name_counts() {
    let more =
        "[[peer]]\nname = \"n-1\"\n[[peer]]\nname = \"n-*\"\narmed = true\n[peer_default]\nrefuse = true";
    let peers = parse("pdp.toml", &format!("{SMALLEST}{more}")).unwrap().peers;
    let name = |n: &str| Name::new(n).unwrap();
    assert!(!peers.is_armed(&name("n-1")));
    assert!(peers.is_armed(&name("n-2")));
    assert!(peers.may_connect(&name("n-2")));
    assert!(!peers.may_connect(&name("x")));
}

#[test]
fn any_text_is_read_or_refused() {
    // Every truncation of the example, and every line of it doubled or lost.
    let text = include_str!("../../examples/pdp.toml");
    for end in (0..text.len()).filter(|i| text.is_char_boundary(*i)) {
        if let Err(e) = parse("f", &text[..end]) {
            assert!(e.line <= text.lines().count() + 1 && !e.problem.is_empty(), "{e}");
        }
    }
}
