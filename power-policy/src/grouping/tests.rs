use super::*;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn qos(text: &str, priority: u16, weight: u32, target: Target) -> Qos {
    Qos {
        name: name(text),
        priority,
        weight,
        target,
    }
}

fn of_qos(set: &str, q: &str) -> SetDefinition {
    SetDefinition {
        name: name(set),
        rank: Rank::Qos(name(q)),
        weight: None,
        target: None,
    }
}

fn rule(on: MatchOn, pattern: &str, set: &str) -> Rule {
    Rule {
        on,
        pattern: Glob::new(pattern).unwrap(),
        set: name(set),
    }
}

fn site() -> GroupingPolicy {
    GroupingPolicy {
        qos: vec![
            qos("gold", 900, 64, Target::ForEver),
            qos("silver", 500, 16, Target::Millis(600_000)),
        ],
        sets: vec![
            of_qos("db", "gold"),
            SetDefinition {
                name: name("batch"),
                rank: Rank::Priority(10),
                weight: Some(3),
                target: Some(Target::Millis(1_000)),
            },
            SetDefinition {
                target: Some(Target::Millis(5_000)),
                ..of_qos("web", "silver")
            },
        ],
        rules: vec![
            rule(MatchOn::Name, "*-test", "batch"),
            rule(MatchOn::DataType, "customer/*", "web"),
            rule(MatchOn::Process, "postgres*", "db"),
            rule(MatchOn::QosClass, "g[a-o]ld*", "gold"),
        ],
    }
}

fn set_name(grouping: &Grouping, subject: &Subject<'_>) -> Option<String> {
    let set = grouping.assign(subject).set?;
    Some(grouping.sets()[set.0 as usize].name.to_string())
}

fn subject<'a>() -> Subject<'a> {
    Subject {
        name: "a",
        ..Subject::default()
    }
}

#[test]
fn c2_groups_by_data_type() {
    let grouping = Grouping::new(site()).unwrap();
    let orders = Subject {
        data_type: "customer/orders",
        ..subject()
    };
    let logs = Subject {
        data_type: "log",
        ..subject()
    };
    assert_eq!(set_name(&grouping, &orders).as_deref(), Some("web"));
    assert_eq!(set_name(&grouping, &logs), None);
    assert_eq!(
        grouping.assign(&orders).reason.to_string(),
        "rule 2: data type 'customer/orders' matches 'customer/*' -> set web"
    );
}

#[test]
fn c3_groups_by_process() {
    let grouping = Grouping::new(site()).unwrap();
    let writer = Subject {
        process: "postgres: writer",
        ..subject()
    };
    let other = Subject {
        process: "mypostgres",
        ..subject()
    };
    assert_eq!(set_name(&grouping, &writer).as_deref(), Some("db"));
    assert_eq!(set_name(&grouping, &other), None);
    assert_eq!(
        grouping.assign(&writer).reason.to_string(),
        "rule 3: process 'postgres: writer' matches 'postgres*' -> set db"
    );
}

#[test]
fn c4_groups_by_reported_qos() {
    let grouping = Grouping::new(site()).unwrap();
    // By a rule with a pattern, and without any rule by the name of the QoS itself.
    let ruled = Subject {
        qos_class: "gold-plus",
        ..subject()
    };
    let plain = Subject {
        qos_class: "silver",
        ..subject()
    };
    assert_eq!(set_name(&grouping, &ruled).as_deref(), Some("gold"));
    assert_eq!(set_name(&grouping, &plain).as_deref(), Some("silver"));
    assert_eq!(
        grouping.assign(&plain).reason.to_string(),
        "no rule matches; its QoS class is silver -> set silver"
    );
}

#[test]
fn c5_a_set_has_the_priority_of_its_qos() {
    let mut policy = site();
    let before = Grouping::new(policy.clone()).unwrap();
    let of = |g: &Grouping, n: &str| g.sets().iter().find(|s| s.name.as_str() == n).cloned().unwrap();
    assert_eq!(of(&before, "db").priority, 900);
    assert_eq!(of(&before, "db").weight, 64);
    assert_eq!(of(&before, "db").target_millis, None);
    assert_eq!(of(&before, "web").priority, 500);
    assert_eq!(of(&before, "web").target_millis, Some(5_000));
    assert_eq!(of(&before, "batch").priority, 10);
    policy.qos[0].priority = 100;
    let after = Grouping::new(policy).unwrap();
    assert_eq!(of(&after, "db").priority, 100);
    assert_eq!(of(&after, "gold").priority, 100);
    assert_eq!(of(&after, "batch").priority, 10);
}

#[test]
fn the_first_rule_wins_over_later_rules_the_agent_and_the_qos() {
    let grouping = Grouping::new(site()).unwrap();
    let all = Subject {
        name: "shop-test",
        data_type: "customer/orders",
        process: "postgres",
        qos_class: "gold",
        asked_set: "db",
    };
    assert_eq!(set_name(&grouping, &all).as_deref(), Some("batch"));
    let asked = Subject {
        qos_class: "silver",
        asked_set: "db",
        ..subject()
    };
    assert_eq!(set_name(&grouping, &asked).as_deref(), Some("db"));
    assert_eq!(
        grouping.assign(&asked).reason.to_string(),
        "no rule matches; its agent's file asks for set db"
    );
}

#[test]
fn what_nothing_matches_is_a_fixed_load_and_said_so() {
    let grouping = Grouping::new(site()).unwrap();
    let stranger = Subject {
        qos_class: "bronze",
        asked_set: "nowhere",
        ..subject()
    };
    let assignment = grouping.assign(&stranger);
    assert_eq!(assignment.set, None);
    assert_eq!(
        assignment.reason.to_string(),
        "no rule matches, the set 'nowhere' that its agent asks for does not exist, its QoS class 'bronze' is not \
         known: a fixed load, never touched"
    );
    // A pattern says nothing about what was not reported.
    let mut policy = site();
    policy.rules = vec![rule(MatchOn::Process, "*", "db")];
    assert_eq!(
        Grouping::new(policy.clone()).unwrap().assign(&subject()).set,
        None
    );
    policy.rules = vec![rule(MatchOn::Any, "*", "db")];
    let any = Grouping::new(policy).unwrap();
    assert_eq!(set_name(&any, &subject()).as_deref(), Some("db"));
    assert_eq!(
        any.assign(&subject()).reason.to_string(),
        "rule 1: matches everything -> set db"
    );
}

#[test]
fn sets_are_sorted_and_name_each_qos_once() {
    let mut policy = site();
    policy.sets.push(of_qos("silver", "silver"));
    let grouping = Grouping::new(policy).unwrap();
    let names: Vec<&str> = grouping.sets().iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["batch", "db", "gold", "silver", "web"]);
}

#[test]
fn refuses_a_policy_that_contradicts_itself() {
    let refused = |change: &dyn Fn(&mut GroupingPolicy)| {
        let mut policy = site();
        change(&mut policy);
        Grouping::new(policy).unwrap_err().to_string()
    };
    assert_eq!(
        refused(&|p| p.qos.push(p.qos[0].clone())),
        "qos gold is there twice"
    );
    assert_eq!(
        refused(&|p| p.sets.push(p.sets[0].clone())),
        "set db is there twice"
    );
    assert_eq!(
        refused(&|p| p.sets[0].rank = Rank::Qos(name("tin"))),
        "set db names qos tin, which is not defined"
    );
    assert_eq!(
        refused(&|p| p.sets[0].name = name("silver")),
        "set silver has the name of a qos, so it must be of that qos"
    );
    assert_eq!(
        refused(&|p| p.rules[1].set = name("nowhere")),
        "rule 2 gives set nowhere, which is neither defined nor the name of a qos"
    );
    assert_eq!(
        refused(&|p| p.rules = vec![p.rules[0].clone(); MAX_GROUPING_RULES + 1]),
        "at most 4096 grouping rules are possible, there are 4097"
    );
}

#[test]
fn reads_the_keys_of_the_configuration() {
    let rule: Rule =
        serde_json::from_str(r#"{"match": "data_type", "pattern": "customer/*", "set": "web"}"#).unwrap();
    assert_eq!(rule, site().rules[1]);
    let bad = serde_json::from_str::<Rule>(r#"{"match": "name", "pattern": "[z-a]", "set": "web"}"#);
    assert!(
        bad.unwrap_err()
            .to_string()
            .contains("the range z-a at offset 1 runs backwards")
    );
}
