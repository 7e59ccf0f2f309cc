//! Usage feedback (RFC 3483, RFC 3571): links, intervals, suspend, resume, solicit, and the last report of a context.

use cops_codec::client_type::Class;
use cops_codec::client_type::feedback::{
    FeedbackAction, FeedbackActionList, FeedbackLink, Indicator, LinkFlags, prefix,
};
use cops_codec::wire::{CommandCode, DecisionFlagBits};

use super::*;

fn selection() -> Row {
    power::ReadingSel {
        instance: id(1),
        kind: power::ReadingKind::Server,
        pattern: power::Text::new("srv*").unwrap(),
    }
    .into()
}

fn link() -> FeedbackLink {
    let sel = RowId {
        class: Class::ReadingSel,
        instance: id(1),
    };
    FeedbackLink::periodic(id(1), sel.prid(), Class::ServerReading)
}

/// A plan of nothing, with what is read and how.
fn reading(generation: u64, link: FeedbackLink) -> Vec<Decision> {
    let covered = vec![selection()];
    let mut decisions = configuration(7, generation, 0, &covered);
    let more = install(&[link.into()]);
    decisions.extend(more);
    decisions
}

fn command(action: FeedbackAction) -> Vec<Decision> {
    install(&[plan_row(7, 1, 0, &[selection()]), action.into()])
}

impl World {
    fn draws(&mut self, milliwatts: u32) {
        let reading = crate::engine::facts::ServerReading {
            powered: power_policy::model::Powered::On,
            milliwatts: Some(milliwatts),
        };
        self.node.observe(
            self.now,
            self.now.engine,
            Observation::Server(name("srv1"), reading),
        );
        self.settle();
    }

    /// With this link, and one reading.
    fn reads(link: FeedbackLink) -> Self {
        let mut world = Self::open(true);
        world.draws(123_000);
        world.push(reading(1, link));
        assert_eq!(world.pdp.last_report.as_ref().unwrap().1, ReportType::SUCCESS);
        world.log();
        world
    }

    fn reports(&mut self, intervals: usize) -> usize {
        for _ in 0..intervals {
            self.pass(1_000);
        }
        let log = self.log();
        log.iter()
            .filter(|line| line.starts_with("RPT accounting"))
            .count()
    }
}

#[test]
fn a_link_reports_after_its_intervals_of_the_accounting_timer() {
    let mut world = World::reads(FeedbackLink {
        interval: 3,
        ..link()
    });
    assert_eq!(world.reports(2), 0);
    assert_eq!(world.reports(1), 1);
    assert_eq!(world.reports(3), 1);
    let Row::ServerReading(row) = &world.pdp.readings[0] else {
        panic!()
    };
    assert_eq!((row.server.as_str(), row.milliwatts), ("srv1", 123_000));
}

#[test]
fn change_only_reports_what_has_changed() {
    let flags = LinkFlags {
        periodic: true,
        threshold: false,
        change_only: true,
    };
    let mut world = World::reads(FeedbackLink {
        flags: flags.to_octets(),
        ..link()
    });
    assert_eq!(world.reports(3), 1, "once, and age alone is no change");
    world.draws(124_000);
    assert_eq!(world.reports(2), 1);
}

#[test]
fn without_periodic_readings_come_when_they_are_asked_for() {
    let mut world = World::reads(FeedbackLink {
        flags: LinkFlags::default().to_octets(),
        ..link()
    });
    assert_eq!(world.reports(3), 0);
    // Twice the same command is two commands.
    for _ in 0..2 {
        world.push(command(FeedbackAction::for_all(id(1), Indicator::SolicitReport)));
        assert_eq!(world.log(), ["RPT solicited Success", "RPT accounting 1"]);
    }
}

#[test]
fn an_accounting_timer_of_zero_forbids_all_but_what_is_asked_for_c_2_2_15_03() {
    let mut world = World::new(true);
    world.pdp.acct = Some(AccountingTimer(0));
    world.draws(123_000);
    world.connect();
    world.push(reading(1, link()));
    world.log();
    assert_eq!(world.reports(30), 0);
    world.push(command(FeedbackAction::for_all(id(1), Indicator::SolicitReport)));
    assert_eq!(world.log(), ["RPT solicited Success", "RPT accounting 1"]);
}

#[test]
fn reports_are_suspended_and_resumed() {
    let mut world = World::reads(link());
    assert_eq!(world.reports(1), 1);
    world.push(command(FeedbackAction::for_all(id(1), Indicator::SuspendReports)));
    assert_eq!(world.reports(3), 0);
    world.draws(200_000);
    world.push(command(FeedbackAction::for_all(id(1), Indicator::SolicitReport)));
    let Row::ServerReading(row) = &world.pdp.readings[0] else {
        panic!()
    };
    assert_eq!(row.milliwatts, 200_000, "measuring goes on");
    world.push(command(FeedbackAction::for_all(id(1), Indicator::Resume)));
    world.log();
    assert_eq!(world.reports(1), 1);
}

#[test]
fn suspended_monitoring_keeps_what_was_measured_last() {
    let mut world = World::reads(link());
    world.push(command(FeedbackAction::for_all(
        id(1),
        Indicator::SuspendMonitoringAndReports,
    )));
    world.draws(200_000);
    world.pass(100);
    world.push(command(FeedbackAction::for_all(id(1), Indicator::SolicitReport)));
    let Row::ServerReading(row) = &world.pdp.readings[0] else {
        panic!()
    };
    assert_eq!(row.milliwatts, 123_000);
    assert!(row.age_millis >= 1_000, "and it grows old: {}", row.age_millis);
    world.push(command(FeedbackAction::for_all(id(1), Indicator::Resume)));
    world.log();
    assert_eq!(world.reports(1), 1);
    let Row::ServerReading(row) = &world.pdp.readings[0] else {
        panic!()
    };
    assert_eq!(row.milliwatts, 200_000);
}

#[test]
fn a_command_for_a_list_leaves_other_links_alone() {
    let mut world = World::reads(link());
    let empty = FeedbackAction {
        instance: id(1),
        indicator: Indicator::SuspendReports,
        specific_pri: true,
        list: 5,
    };
    world.push(command(empty.clone()));
    world.log();
    assert_eq!(world.reports(1), 1, "no link is in list 5");
    let member: Row = FeedbackActionList {
        instance: id(1),
        tag: 5,
        ref_id: ReferenceId(id(1)),
    }
    .into();
    world.push(install(&[
        plan_row(7, 1, 0, &[selection()]),
        member,
        empty.into(),
    ]));
    world.log();
    assert_eq!(world.reports(2), 0);
}

#[test]
fn after_a_reconnection_reports_wait_for_resume_p_3483_10_01() {
    let mut world = World::reads(link());
    assert_eq!(world.reports(1), 1);
    world.disconnect();
    world.pdp.session = PdpSession::new(
        PdpConfig::new(vec![CLIENT_TYPE], vec![address()]),
        world.now.session,
    );
    world.pdp.synchronize = Synchronize::Always;
    world.connect();
    world.log();
    assert_eq!(world.reports(3), 0);
    world.push(command(FeedbackAction::for_all(id(1), Indicator::Resume)));
    world.log();
    assert_eq!(world.reports(1), 1);
}

#[test]
fn the_last_readings_go_before_drq_p_3483_9_01() {
    let mut world = World::reads(link());
    let mut delete = Decision::null(Context::CONFIGURATION);
    delete.flags.command = CommandCode::REMOVE;
    delete.flags.flags = DecisionFlagBits::REQUEST_STATE;
    world.push(vec![delete]);
    assert_eq!(
        world.log(),
        ["RPT solicited Success", "RPT accounting 1", "DRQ 8"]
    );
}

#[test]
fn the_last_readings_of_a_context_that_is_deactivated_go_on_its_handle_p_3483_8_01() {
    let mut world = World::reads(link());
    let mut open = Decision::null(Context::CONFIGURATION);
    open.flags.command = CommandCode::INSTALL;
    open.flags.flags = DecisionFlagBits::REQUEST_STATE;
    world.pdp.awaits_contingency = true;
    world.push(vec![open]);
    world.push_contingency(1, reading(2, link()));
    let log = world.log();
    assert!(
        log.contains(&"RPT accounting 1".to_owned()),
        "on the base context: {log:?}"
    );
    world.pass(1_000);
    world.pass(1_000);
    let log = world.log();
    assert!(log.contains(&"RPT H1 accounting 1".to_owned()), "{log:?}");
    assert!(!log.contains(&"RPT accounting 1".to_owned()), "{log:?}");
}

#[test]
fn links_that_cannot_be_kept_are_refused_with_the_attribute_p_4_5_04() {
    let mut world = World::reads(link());
    let nowhere = RowId {
        class: Class::ReadingSel,
        instance: id(9),
    };
    let bad = [
        (
            7,
            2,
            FeedbackLink {
                sel: nowhere.prid(),
                ..link()
            },
        ),
        (
            4,
            3,
            FeedbackLink {
                usage: Class::ReserveReading.entry(),
                ..link()
            },
        ),
        (
            3,
            4,
            FeedbackLink {
                interval: 0,
                ..link()
            },
        ),
        (
            4,
            5,
            FeedbackLink {
                threshold: nowhere.prid(),
                ..link()
            },
        ),
    ];
    for (code, attribute, link) in bad {
        world.push(install(&[plan_row(7, 1, 0, &[selection()]), link.into()]));
        assert_eq!(world.pdp.last_report.as_ref().unwrap().1, ReportType::FAILURE);
        assert_eq!((world.report()[0].1, world.report()[0].2), (code, attribute));
    }
    assert_eq!(world.reports(1), 1, "what was held is held");
    // The whole of it goes with one prefix.
    let mut remove: Vec<Decision> = build::remove([prefix()], [])
        .into_iter()
        .map(|contents| Decision::remove(Context::CONFIGURATION, contents))
        .collect();
    remove.extend(install(&[plan_row(7, 1, 0, &[selection()])]));
    world.push(remove);
    assert_eq!(world.pdp.last_report.as_ref().unwrap().1, ReportType::SUCCESS);
}
