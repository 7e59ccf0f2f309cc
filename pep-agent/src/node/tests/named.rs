//! Named configuration at the agent (RFC 2748 4.5): sent again under its name, and removed.

use super::*;

/// What is decided of `batch` under one name, while the stage is released.
fn decided_of(activity: &str) -> Vec<Row> {
    vec![stage(1, 0), stage(2, 1), action(1, 2, activity, Verb::Stop)]
}

#[test]
fn what_is_sent_again_under_its_name_is_updated_c_4_5_02() {
    let mut world = World::open(true);
    world.push(configuration(7, 1, 0, &decided_of("batch")));
    // The same instance, of another activity, in an increment: nothing is removed, and no row is added.
    let updated = decided_of("gold");
    world.push(install(&[
        plan_row(7, 2, 1, &updated),
        action(1, 2, "gold", Verb::Stop),
    ]));
    assert_eq!(world.pdp.last_report.as_ref().unwrap().1, ReportType::SUCCESS);
    // The digest is over all rows that are held, so there is one action and it is the later one.
    assert_eq!(world.row::<Held>().digest, Some(digest(&updated)));
    let stop = ActionKind::Stop {
        activity: key("gold"),
        moved: false,
    };
    assert_eq!(world.kinds(), [stop]);
}

#[test]
fn what_is_removed_is_gone_and_reported_on_c_4_5_03() {
    let mut world = World::open(true);
    world.push(configuration(7, 1, 0, &stop_batch()));
    world.log();
    let removed = RowId {
        class: cops_codec::client_type::Class::Action,
        instance: id(1),
    };
    let left = vec![stage(1, 0), stage(2, 1)];
    let mut octets = Vec::new();
    cops_codec::provisioning::object::write_prid(&mut octets, removed.prid().as_oid());
    let mut decisions = vec![Decision::remove(Context::CONFIGURATION, octets.into())];
    decisions.extend(install(&[plan_row(7, 2, 1, &left)]));
    world.push(decisions);
    assert_eq!(world.log()[0], "RPT solicited Success");
    assert_eq!(world.row::<Held>().digest, Some(digest(&left)), "it is gone");
    assert_eq!(world.kinds(), [], "and nothing of it is done");
}
