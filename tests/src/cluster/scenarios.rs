//! The clusters that the claims are shown on, for the cluster in one process and for the programs alike.

use super::scenario::{Activity, Line, Qos, Reserve, Scenario, Server};

/// Three classes of service; each set of that name has its priority.
fn classes() -> Scenario {
    Scenario::new()
        .qos(Qos::new("gold", 900, 3_600))
        .qos(Qos::new("silver", 500, 240))
        .qos(Qos::new("bronze", 100, 60))
}

/// Sets by the class that activities carry.
fn by_qos(scenario: Scenario) -> Scenario {
    ["gold", "silver", "bronze"]
        .into_iter()
        .fold(scenario, |scenario, class| {
            scenario.rule("qos_class", class, class)
        })
}

/// Two servers on one feeder, each with a battery, and a line that joins any battery to any server.
///
/// `s1` runs the activity `left`, `s2` the activity `right`, and nothing but the policy tells them apart.
fn pair(scenario: Scenario, left: Activity, right: Activity) -> Scenario {
    let names = (["ups1", "ups2"], ["s1", "s2"]);
    scenario
        .server(Server::new("s1", "feed"))
        .server(Server::new("s2", "feed"))
        .reserve(Reserve::new("ups1", "s1", 12.0))
        .reserve(Reserve::new("ups2", "s2", 12.0))
        .line(Line::new("bus", &names.0, &names.1))
        .activity(left)
        .activity(right)
}

fn left() -> Activity {
    Activity::new("left", "s1", 80)
}

fn right() -> Activity {
    Activity::new("right", "s2", 80)
}

/// Two servers whose activities carry these classes of service (C1, C4).
pub fn pair_by_qos(of_left: &str, of_right: &str) -> Scenario {
    pair(by_qos(classes()), left().qos(of_left), right().qos(of_right))
}

/// The same, without any line: every server is on its own.
pub fn pair_without_lines(of_left: &str, of_right: &str) -> Scenario {
    by_qos(classes())
        .server(Server::new("s1", "feed"))
        .server(Server::new("s2", "feed"))
        .reserve(Reserve::new("ups1", "s1", 12.0))
        .reserve(Reserve::new("ups2", "s2", 12.0))
        .activity(left().qos(of_left))
        .activity(right().qos(of_right))
}

/// Two predefined sets, filled by the type of the data; `ledger` is the important one (C2).
pub fn pair_by_data_type(of_left: &str, of_right: &str) -> Scenario {
    let scenario = classes()
        .set("accounts", "gold")
        .set("reports", "bronze")
        .rule("data_type", "ledger/*", "accounts")
        .rule("data_type", "scratch/*", "reports");
    pair(scenario, left().data_type(of_left), right().data_type(of_right))
}

/// Two predefined sets, filled by the process; `postgres` is the important one (C3).
pub fn pair_by_process(of_left: &str, of_right: &str) -> Scenario {
    let scenario = classes()
        .set("databases", "gold")
        .set("batch", "bronze")
        .rule("process", "postgres*", "databases")
        .rule("process", "render*", "batch");
    pair(scenario, left().process(of_left), right().process(of_right))
}

/// Two predefined sets that take their priority from a class of service each; the priorities are the parameters, and
/// nothing else tells the classes apart (C5).
pub fn pair_with_priorities(of_left: u16, of_right: u16) -> Scenario {
    let scenario = Scenario::new()
        .qos(Qos::new("alpha", of_left, 600))
        .qos(Qos::new("beta", of_right, 600))
        .set("first", "alpha")
        .set("second", "beta")
        .rule("qos_class", "alpha", "first")
        .rule("qos_class", "beta", "second");
    pair(scenario, left().qos("alpha"), right().qos("beta"))
}

/// Three servers, of which two run less important work (C9).
pub fn two_donors() -> Scenario {
    by_qos(classes())
        .server(Server::new("s1", "feed"))
        .server(Server::new("s2", "feed"))
        .server(Server::new("s3", "feed"))
        .reserve(Reserve::new("ups1", "s1", 12.0))
        .reserve(Reserve::new("ups2", "s2", 12.0))
        .reserve(Reserve::new("ups3", "s3", 12.0))
        .line(Line::new("bus", &["ups1", "ups2", "ups3"], &["s1", "s2", "s3"]))
        .activity(Activity::new("ledger", "s1", 80).qos("gold"))
        .activity(Activity::new("shop", "s2", 80).qos("silver"))
        .activity(Activity::new("batch", "s3", 80).qos("bronze"))
}

/// Four servers on one feeder: `s1` hosts the one gold set, and silver and bronze beside it; the others host silver and
/// bronze (C12 to C14).
pub fn last_server() -> Scenario {
    let reserves = ["ups1", "ups2", "ups3", "ups4"];
    let servers = ["s1", "s2", "s3", "s4"];
    // Targets that all batteries together can pay for: the last server's lower sets are shed as their time is over.
    let classes = Scenario::new()
        .qos(Qos::new("gold", 900, 700))
        .qos(Qos::new("silver", 500, 300))
        .qos(Qos::new("bronze", 100, 120));
    let mut scenario = by_qos(classes);
    for (server, reserve) in servers.into_iter().zip(reserves) {
        scenario = scenario
            .server(Server::new(server, "feed"))
            .reserve(Reserve::new(reserve, server, 12.0));
    }
    scenario
        .line(Line::new("bus", &reserves, &servers))
        .activity(Activity::new("ledger", "s1", 60).qos("gold"))
        .activity(Activity::new("shop", "s1", 40).qos("silver"))
        .activity(Activity::new("thumbnails", "s1", 40).qos("bronze"))
        .activity(Activity::new("mail", "s2", 60).qos("silver"))
        .activity(Activity::new("render", "s3", 60).qos("bronze"))
        .activity(Activity::new("crawl", "s4", 60).qos("bronze"))
}

/// Two feeders. `a1`, on the first, hosts what can move to `b1`, on the second: something gold if `moving` says so.
pub fn two_feeds(moving: &str) -> Scenario {
    let pinned = if moving == "gold" { "bronze" } else { "gold" };
    by_qos(classes())
        .server(Server::new("a1", "feedA"))
        .server(Server::new("b1", "feedB"))
        .reserve(Reserve::new("upsA", "a1", 12.0))
        .reserve(Reserve::new("upsB", "b1", 12.0))
        .line(Line::new("tie", &["upsA", "upsB"], &["a1", "b1"]))
        .activity(
            Activity::new("traveller", "a1", 60)
                .qos(moving)
                .movable_to(&["b1"]),
        )
        .activity(Activity::new("resident", "a1", 60).qos(pinned))
        .activity(Activity::new("local", "b1", 60).qos("silver"))
}

/// Three servers, of which only `a1` loses its mains. Its gold set fits on `b1` alone, once the bronze one that can move
/// to `c1` has left: the granted form of the first claim.
pub fn make_room() -> Scenario {
    by_qos(classes())
        .server(Server::new("a1", "feedA"))
        .server(Server::new("b1", "feedB").cpu_millicores(4_000))
        .server(Server::new("c1", "feedB").cpu_millicores(2_000))
        .reserve(Reserve::new("upsA", "a1", 12.0))
        .reserve(Reserve::new("upsB", "b1", 12.0))
        .reserve(Reserve::new("upsC", "c1", 12.0))
        .line(Line::new("tie", &["upsA", "upsB", "upsC"], &["a1", "b1", "c1"]))
        .activity(
            Activity::new("ledger", "a1", 80)
                .qos("gold")
                .cpu_millicores(3_000)
                .movable_to(&["b1"]),
        )
        .activity(
            Activity::new("batch", "b1", 60)
                .qos("bronze")
                .cpu_millicores(2_000)
                .movable_to(&["c1"]),
        )
}

/// Three servers, of which only `a1` loses its mains. Its gold set can move to `b1`, and its bronze one to `c1`: both have
/// room from the first, so that one step can shift both.
pub fn two_receivers() -> Scenario {
    by_qos(classes())
        .server(Server::new("a1", "feedA"))
        .server(Server::new("b1", "feedB"))
        .server(Server::new("c1", "feedB"))
        .reserve(Reserve::new("upsA", "a1", 12.0))
        .reserve(Reserve::new("upsB", "b1", 12.0))
        .reserve(Reserve::new("upsC", "c1", 12.0))
        .line(Line::new("tie", &["upsA", "upsB", "upsC"], &["a1", "b1", "c1"]))
        .activity(Activity::new("ledger", "a1", 80).qos("gold").movable_to(&["b1"]))
        .activity(Activity::new("batch", "a1", 60).qos("bronze").movable_to(&["c1"]))
}

/// Two feeders. A gold set of two activities on `a1` can move to `b1`, as one.
pub fn set_of_two() -> Scenario {
    let ledger = |name: &str| Activity::new(name, "a1", 50).qos("gold").movable_to(&["b1"]);
    by_qos(classes())
        .server(Server::new("a1", "feedA"))
        .server(Server::new("b1", "feedB"))
        .reserve(Reserve::new("upsA", "a1", 12.0))
        .reserve(Reserve::new("upsB", "b1", 12.0))
        .line(Line::new("tie", &["upsA", "upsB"], &["a1", "b1"]))
        .activity(ledger("ledger-db"))
        .activity(ledger("ledger-web"))
}
