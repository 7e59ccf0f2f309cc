//! Outlooks over the described example, and what is refused.

use std::cell::Cell;

use power_policy::grouping::Glob;
use power_policy::model::{FigureSource, Mains, PowerPolicy};

use super::*;
use crate::api::CommandScope;

const EXAMPLE: &str = include_str!("../../examples/cluster.toml");

fn input() -> PlanningInput {
    PlanningInput {
        snapshot: described::read("cluster.toml", EXAMPLE, None).unwrap(),
        previous: None,
        policy: PowerPolicy::default(),
    }
}

fn cluster_lost() -> Supposition {
    Supposition {
        scopes: vec![CommandScope::Cluster],
        ..Supposition::default()
    }
}

fn asked(supposition: &Supposition, max_trials: usize) -> Outlook {
    let question = Question {
        supposition: Some(supposition),
        uncertainty: Uncertainty::default(),
        max_trials,
        go_on: &|| true,
    };
    outlook(&input(), &question).unwrap()
}

fn of(outlook: &Outlook, priority: u16) -> &ClassOutlook {
    outlook.classes.iter().find(|c| c.priority == priority).unwrap()
}

#[test]
fn the_example_holds_together_and_the_checker_has_no_objection() {
    input().snapshot.validate().unwrap();
    let outlook = asked(&cluster_lost(), 0);
    assert_eq!(outlook.objections, Vec::<String>::new());
    assert_eq!(outlook.supposed, ["the whole cluster loses its mains"]);
    assert!(outlook.plan.central_stages().count() > 1);
    assert_eq!(outlook.trials.tried, 0);
}

#[test]
fn the_band_lies_around_the_prediction_and_widens_with_the_uncertainty() {
    let mut input = input();
    for reserve in &mut input.snapshot.reserves {
        reserve.charge_millijoules = reserve.capacity_millijoules / 2;
    }
    let supposition = cluster_lost();
    let gold = |permille| {
        let question = Question {
            supposition: Some(&supposition),
            uncertainty: Uncertainty { permille },
            max_trials: 0,
            go_on: &|| true,
        };
        of(&outlook(&input, &question).unwrap(), 300).clone()
    };
    let exact = gold(Some(0));
    assert_eq!(exact.low_millis, exact.ride_through_millis);
    assert_eq!(exact.high_millis, exact.ride_through_millis);
    let mut width = 0;
    for permille in [50, 100, 300] {
        let class = gold(Some(permille));
        assert_eq!(class.ride_through_millis, exact.ride_through_millis);
        let (low, now, high) = (
            class.low_millis.unwrap(),
            class.ride_through_millis.unwrap(),
            class.high_millis.unwrap(),
        );
        assert!(low < now && now < high, "{class:?}");
        assert!(high - low > width, "{class:?}");
        width = high - low;
    }
    // What is measured is surer than what stands in a file.
    let configured = gold(None);
    for reserve in &mut input.snapshot.reserves {
        reserve.source = FigureSource::Measured;
    }
    let question = Question {
        supposition: Some(&supposition),
        uncertainty: Uncertainty::default(),
        max_trials: 0,
        go_on: &|| true,
    };
    let measured = of(&outlook(&input, &question).unwrap(), 300).clone();
    assert!(measured.low_millis > configured.low_millis);
}

#[test]
fn a_length_says_who_lives_through() {
    let now = of(&asked(&cluster_lost(), 0), 300).clone();
    let lasting = |millis| {
        let supposition = Supposition {
            lasts_millis: Some(millis),
            ..cluster_lost()
        };
        of(&asked(&supposition, 0), 300).survives.unwrap()
    };
    assert_eq!(lasting(now.low_millis.unwrap()), Survives::Yes);
    assert_eq!(lasting(now.low_millis.unwrap() + 1), Survives::Perhaps);
    assert_eq!(lasting(now.high_millis.unwrap() + 1), Survives::No);
}

#[test]
fn what_is_said_to_help_helps_when_it_is_done() {
    let outlook = asked(&cluster_lost(), 64);
    assert_eq!(outlook.trials.tried, outlook.trials.candidates);
    let line = outlook
        .bottlenecks
        .iter()
        .find(|b| b.figure == Figure::LinePower)
        .expect("a wider line helps");
    assert_eq!((line.subject.as_str(), line.now), ("n3-n1", 60_000));
    assert_eq!(line.gains[0].priority, 300);
    let mut wider = input();
    wider.snapshot.lines[0].max_milliwatts += line.added;
    let supposition = cluster_lost();
    let question = Question {
        supposition: Some(&supposition),
        uncertainty: Uncertainty::default(),
        max_trials: 0,
        go_on: &|| true,
    };
    let then = super::outlook(&wider, &question).unwrap();
    assert_eq!(of(&then, 300).ride_through_millis, line.gains[0].then_millis);
    // Nothing that is told makes a higher class pay.
    for bottleneck in &outlook.bottlenecks {
        assert!(bottleneck.gains.iter().all(|g| g.millis() > 0), "{bottleneck:?}");
    }
}

#[test]
fn trials_end_when_the_time_is_up_or_their_number_is_reached() {
    let asked_for = Cell::new(0);
    let supposition = cluster_lost();
    let question = Question {
        supposition: Some(&supposition),
        uncertainty: Uncertainty::default(),
        max_trials: 64,
        go_on: &|| {
            asked_for.set(asked_for.get() + 1);
            asked_for.get() <= 2
        },
    };
    let outlook = super::outlook(&input(), &question).unwrap();
    assert_eq!((outlook.trials.tried, outlook.trials.out_of_time), (2, true));
    let outlook = asked(&supposition, 3);
    assert_eq!((outlook.trials.tried, outlook.trials.out_of_time), (3, false));
}

#[test]
fn aged_and_missing_reserves_count_for_less() {
    let whole = asked(&cluster_lost(), 0);
    let supposition = Supposition {
        aged: vec![(Glob::new("ups-1").unwrap(), 50)],
        ..cluster_lost()
    };
    let aged = asked(&supposition, 0);
    assert!(of(&aged, 300).ride_through_millis < of(&whole, 300).ride_through_millis);
    assert_eq!(aged.supposed[1], "ups-1 has 50 % of its capacity left: 50.0 Wh");
    let supposition = Supposition {
        missing: vec![Glob::new("ups-2").unwrap()],
        ..cluster_lost()
    };
    let missing = asked(&supposition, 0);
    assert!(of(&missing, 200).ride_through_millis < of(&whole, 200).ride_through_millis);
    let supposition = Supposition {
        charged: vec![(Glob::new("ups-*").unwrap(), 20)],
        ..cluster_lost()
    };
    let low = asked(&supposition, 0);
    assert!(of(&low, 300).ride_through_millis < of(&whole, 300).ride_through_millis);
}

#[test]
fn a_domain_takes_those_servers_that_nothing_else_feeds() {
    let text = EXAMPLE.replacen(
        "name = \"feed-a\"\n",
        "name = \"feed-a\"\n[[domain]]\nname = \"feed-b\"\n",
        1,
    );
    let text = text.replacen("domains = [\"feed-a\"]", "domains = [\"feed-a\", \"feed-b\"]", 1);
    let mut snapshot = described::read("x", &text, None).unwrap();
    let supposition = Supposition {
        scopes: vec![CommandScope::Domain("feed-a".into())],
        ..Supposition::default()
    };
    supposition.apply(&mut snapshot).unwrap();
    let mains: Vec<Mains> = snapshot.servers.iter().map(|s| s.mains).collect();
    assert_eq!(mains, [Mains::Present, Mains::Absent, Mains::Absent]);
}

#[test]
fn what_is_not_there_is_refused_with_what_is() {
    let refused = |supposition: Supposition| {
        let question = Question {
            supposition: Some(&supposition),
            uncertainty: Uncertainty::default(),
            max_trials: 0,
            go_on: &|| true,
        };
        outlook(&input(), &question).unwrap_err().to_string()
    };
    let domain = Supposition {
        scopes: vec![CommandScope::Domain("feed-x".into())],
        ..Supposition::default()
    };
    assert_eq!(refused(domain), "domain 'feed-x': expected one of feed-a");
    let missing = Supposition {
        missing: vec![Glob::new("x*").unwrap()],
        ..cluster_lost()
    };
    assert_eq!(
        refused(missing),
        "missing reserve or line 'x*': expected one of ups-1, ups-2, ups-3, n3-n1"
    );
    let aged = Supposition {
        aged: vec![(Glob::new("ups-1").unwrap(), 101)],
        ..cluster_lost()
    };
    assert!(refused(aged).contains("expected 0 to 100 percent, found 101"));
}

#[test]
fn a_wrong_description_is_refused_with_its_line() {
    let refused = |from: &str, to: &str| {
        assert!(EXAMPLE.contains(from), "{from}");
        described::read("c.toml", &EXAMPLE.replacen(from, to, 1), None)
            .unwrap_err()
            .to_string()
    };
    let unknown = refused("idle_watts = 90", "idle_watt = 90");
    assert!(
        unknown.starts_with("c.toml:28: unknown field `idle_watt`"),
        "{unknown}"
    );
    let nowhere = refused("servers = [\"n1\"]", "servers = [\"n9\"]");
    assert_eq!(
        nowhere,
        "c.toml:75: there is no server 'n9'; expected one of n1, n2, n3"
    );
    let twice = refused("name = \"n2\"", "name = \"n1\"");
    assert!(twice.ends_with("server 'n1' is there twice"), "{twice}");
    let set = refused("set = \"silver\"", "set = \"golden\"");
    assert!(set.contains("the set 'golden'"), "{set}");
    let less = refused("peak_watts = 400", "peak_watts = 40");
    assert!(
        less.contains("expected at most peak_watts (40), found 90"),
        "{less}"
    );
    let full = refused("# charge_percent = 100", "charge_percent = 110");
    assert!(
        full.contains("charge_percent: expected 0 to 100, found 110"),
        "{full}"
    );
}

#[test]
fn the_picture_shows_every_reserve_and_every_class() {
    let supposition = Supposition {
        lasts_millis: Some(600_000),
        ..cluster_lost()
    };
    let svg = plot::draw(&asked(&supposition, 0)).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    for name in [
        "ups-1",
        "ups-2",
        "ups-3",
        "300 (gold)",
        "200 (silver)",
        "100 (bronze)",
    ] {
        assert!(svg.contains(name), "{name}");
    }
}

#[test]
fn the_text_can_be_read_aloud() {
    let text = asked(&cluster_lost(), 64).to_string();
    for part in [
        "supposed: the whole cluster loses its mains\n",
        "class 300 (gold): ",
        "what would help:\n",
        " more through line n3-n1 (ups-3 to n1; now 60 W)",
        "(the band: planned anew with charges 18.0 % lower",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert!(!text.contains("OBJECTS"), "{text}");
}
