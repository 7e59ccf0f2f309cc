//! Several contexts, of which one is active (E4, E5, E10; RFC 3318 section 2.4).

use cops_codec::client_type::framework::DeviceId;
use cops_codec::provisioning::GlobalErrorCode;
use cops_codec::wire::{CommandCode, DecisionFlagBits};

use super::*;

fn request_state(command: CommandCode) -> Vec<Decision> {
    let mut decision = Decision::null(Context::CONFIGURATION);
    decision.flags.command = command;
    decision.flags.flags = DecisionFlagBits::REQUEST_STATE;
    vec![decision]
}

/// As [`configuration`], of a context that is not active.
fn inactive(term: u64, generation: u64, released: u32, rows: &[Row]) -> Vec<Decision> {
    let mut all = vec![incarnation(PlanVersion { term, generation }, false)];
    all.push(plan_row(term, generation, released, rows));
    all.extend(rows.iter().cloned());
    install(&all)
}

/// E5 step 1.
fn activate(term: u64, generation: u64, rows: &[Row]) -> Vec<Decision> {
    install(&[
        incarnation(PlanVersion { term, generation }, true),
        plan_row(term, generation, 0, rows),
    ])
}

fn stop_gold() -> Vec<Row> {
    vec![stage(1, 0), action(1, 1, "gold", Verb::Stop)]
}

impl World {
    /// E4: the PDP has a further context opened.
    fn open_contingency(&mut self) {
        self.pdp.awaits_contingency = true;
        self.push(request_state(CommandCode::INSTALL));
    }

    fn contingency<T: cops_codec::client_type::TypedRow>(&self, number: usize) -> &T {
        self.pdp.contingencies[number - 1].1.rows().only().unwrap()
    }

    fn global_error(&self) -> Option<u16> {
        self.pdp
            .last_report
            .as_ref()
            .unwrap()
            .2
            .global
            .map(|error| error.code.0)
    }

    /// With a standing plan in the base context and one contingency, inactive, that stops gold at once.
    fn with_contingency() -> Self {
        let mut world = Self::open(true);
        world.push(configuration(7, 1, 0, &[]));
        world.open_contingency();
        world.push_contingency(1, inactive(7, 2, 0, &stop_gold()));
        world.log();
        world
    }
}

#[test]
fn e4_three_contingencies_are_opened_and_a_fourth_is_refused_p_3_2_08_p_4_4_06() {
    let mut world = World::open(true);
    world.push(configuration(7, 1, 0, &[]));
    world.log();
    for number in 1..=3 {
        world.open_contingency();
        let log = world.log();
        assert_eq!(log[0], "RPT solicited Success");
        assert!(
            log[1].starts_with(&format!(
                "REQ H{number} full frwkPibIncarnation.1 frwkPrcSupport.1 "
            )),
            "{}",
            log[1]
        );
        assert!(log[1].ends_with("frwkDeviceId.1 frwkFeedbackLinkCaps.1 frwkFeedbackLinkCaps.2 pwrHeld.1"));
        assert_eq!(log[2], format!("RPT H{number} solicited Success"));
        let opened: &PibIncarnation = world.contingency(number);
        assert!(opened.in_ctxt_set && !opened.active && opened.full_state);
        assert_eq!(world.contingency::<Held>(number).generation, 0);
    }
    assert_eq!(world.row::<DeviceId>().max_contexts.get(), 4);
    world.push(request_state(CommandCode::INSTALL));
    assert_eq!(world.pdp.last_report.as_ref().unwrap().1, ReportType::FAILURE);
    assert_eq!(
        world.global_error(),
        Some(GlobalErrorCode::MAX_REQUEST_STATES_OPEN.0)
    );
    assert_eq!(world.log(), ["RPT solicited Failure"], "and no REQ follows");
}

#[test]
fn e4_an_inactive_context_holds_its_plan_and_nothing_of_it_is_done_p_6_03() {
    let mut world = World::with_contingency();
    assert_eq!(world.kinds(), []);
    assert_eq!(world.node.engine().plan().unwrap().generation, 1, "the base's");
    assert_eq!(world.contingency::<Held>(1).generation, 2);
    assert_eq!(world.contingency::<Held>(1).digest, Some(digest(&stop_gold())));
    assert_eq!(world.row::<Held>().generation, 1);
    // A refresh changes this context and no other.
    let mut refresh = build::remove_arcs([Arc::Policy, Arc::Plans])
        .into_iter()
        .map(|contents| Decision::remove(Context::CONFIGURATION, contents))
        .collect::<Vec<_>>();
    refresh.extend(inactive(7, 3, 0, &stop_batch()));
    world.push_contingency(1, refresh);
    assert_eq!(world.contingency::<Held>(1).generation, 3);
    assert_eq!(world.row::<Held>().generation, 1);
    assert_eq!(world.kinds(), []);
}

#[test]
fn e5_one_short_decision_activates_and_deactivates_the_other_p_3318_2_4_02() {
    let mut world = World::with_contingency();
    world.push_contingency(1, activate(7, 2, &stop_gold()));
    assert_eq!(
        world.kinds(),
        [ActionKind::Stop {
            activity: key("gold"),
            moved: false
        }],
        "stage 0 begins with the activation"
    );
    assert_eq!(world.node.engine().plan().unwrap().generation, 2);
    let log = world.log();
    assert_eq!(log[0], "RPT H1 solicited Success");
    // Facts and results stay on the base context.
    assert!(
        log[1].starts_with("REQ incremental frwkPibIncarnation.1 ") && log[1].contains("pwrActionResult.1"),
        "{log:?}"
    );
    assert!(
        !world.row::<PibIncarnation>().active,
        "the base context says so itself"
    );
    // And back.
    world.push(configuration(7, 3, 0, &[]));
    assert_eq!(world.node.engine().plan().unwrap().generation, 3);
    world.mains(Mains::Absent);
    assert!(world.row::<PibIncarnation>().active);
    // The contingency is held, inactive, and can be activated again.
    world.kinds();
    world.push_contingency(1, activate(7, 2, &stop_gold()));
    assert_eq!(world.node.engine().plan().unwrap().generation, 2);
}

#[test]
fn e5_the_active_one_made_inactive_leaves_nothing_enforced_p_3318_2_4_03() {
    let mut world = World::with_contingency();
    world.push(inactive(7, 4, 0, &[]));
    assert!(world.node.engine().plan().is_none());
    assert_eq!(world.kinds(), []);
}

#[test]
fn versions_are_fenced_by_term_in_all_contexts_and_by_generation_in_each() {
    let mut world = World::with_contingency();
    world.push(configuration(7, 9, 0, &[]));
    // Older than the base context's plan, and newer than its own: taken.
    world.push_contingency(1, activate(7, 2, &stop_gold()));
    assert_eq!(world.pdp.last_report.as_ref().unwrap().1, ReportType::SUCCESS);
    world.push_contingency(1, activate(7, 1, &stop_gold()));
    assert_eq!(
        (world.report()[0].1, world.report()[0].2),
        (13, 1),
        "staleGeneration"
    );
    // A term that only the base context has seen binds the contingency too.
    world.push(configuration(8, 10, 0, &[]));
    world.push_contingency(1, activate(7, 12, &stop_gold()));
    assert_eq!(
        (world.report()[0].1, world.report()[0].2),
        (13, 1),
        "staleGeneration"
    );
}

#[test]
fn e10_a_deleted_contingency_is_reported_and_asked_to_be_deleted_p_3_2_09() {
    let mut world = World::with_contingency();
    world.push_contingency(1, request_state(CommandCode::REMOVE));
    assert_eq!(world.log(), ["RPT H1 solicited Success", "DRQ H1 8"]);
    assert_eq!(world.node.engine().plan().unwrap().generation, 1);
    // There is room for another.
    world.open_contingency();
    assert!(world.log()[1].starts_with("REQ H2 full "));
}

#[test]
fn e10_deleting_the_active_context_ends_its_policy_at_once_p_3318_5_02() {
    let mut world = World::with_contingency();
    world.push_contingency(1, activate(7, 2, &stop_gold()));
    world.push_contingency(1, request_state(CommandCode::REMOVE));
    assert!(world.node.engine().plan().is_none());
    assert!(world.log().contains(&"DRQ H1 8".to_owned()));
}

#[test]
fn a_pdp_of_an_older_term_deletes_nothing() {
    let mut world = World::with_contingency();
    world.disconnect();
    world.pdp.session = PdpSession::new(
        PdpConfig::new(vec![CLIENT_TYPE], vec![address()]),
        world.now.session,
    );
    world.pdp.synchronize = Synchronize::Always;
    world.connect();
    world.log();
    // It has sent no decision of term 7 on this connection.
    world.push_contingency(1, request_state(CommandCode::REMOVE));
    assert_eq!(world.log(), ["RPT H1 solicited Failure"]);
    assert_eq!(world.global_error(), Some(GlobalErrorCode::UNKNOWN_ERROR.0));
}

#[test]
fn e6_b_every_context_is_told_in_full_after_an_ssq_p_3318_2_3_1_02_p_7_05() {
    let mut world = World::with_contingency();
    world.disconnect();
    world.pdp.session = PdpSession::new(
        PdpConfig::new(vec![CLIENT_TYPE], vec![address()]),
        world.now.session,
    );
    world.pdp.synchronize = Synchronize::Always;
    world.log();
    world.connect();
    let log = world.log();
    assert!(log.iter().any(|line| line.starts_with("REQ full ")), "{log:?}");
    assert!(log.iter().any(|line| line.starts_with("REQ H1 full ")), "{log:?}");
    assert_eq!(log.last().unwrap(), "SSC");
    assert_eq!(world.contingency::<Held>(1).generation, 2);
}

#[test]
fn all_contexts_expire_after_their_time_without_a_pdp_p_7_07_p_3318_5_02() {
    let mut world = World::with_contingency();
    world.disconnect();
    // 600 s of real time.
    world.pass(599_999);
    assert!(world.node.engine().plan().is_some());
    world.pass(1);
    assert!(world.node.engine().plan().is_none());
    let saved = world.node.unsaved(world.now).unwrap();
    assert!(saved.handle.is_none() && saved.contingencies.is_empty());
}

#[test]
fn longevity_says_never_and_at_once_p_3318_5_02() {
    for (longevity, is_kept) in [
        (Longevity::ExpireNever, true),
        (Longevity::ExpireImmediate, false),
    ] {
        let mut world = World::open(true);
        let mut decisions = configuration(7, 1, 0, &[]);
        decisions.truncate(1);
        let version = PlanVersion {
            term: 7,
            generation: 1,
        };
        let mut row = incarnation(version, true);
        if let Row::PibIncarnation(row) = &mut row {
            row.longevity = longevity;
        }
        decisions.extend(install(&[row, plan_row(7, 1, 0, &[])]));
        world.push(decisions);
        assert!(world.node.engine().plan().is_some());
        world.disconnect();
        assert_eq!(world.node.engine().plan().is_some(), is_kept, "{longevity:?}");
        world.pass(10 * 86_400_000);
        assert_eq!(world.node.engine().plan().is_some(), is_kept, "{longevity:?}");
    }
}

#[test]
fn contexts_are_held_over_a_restart_with_the_active_one() {
    let mut world = World::with_contingency();
    world.push_contingency(1, activate(7, 2, &stop_gold()));
    let saved = world.node.unsaved(world.now).unwrap();
    let text = serde_json::to_string(&saved).unwrap();
    let saved: Saved = serde_json::from_str(&text).unwrap();
    let mut restarted = World::of(inventory(), true, Some(&saved));
    assert_eq!(restarted.node.engine().plan().unwrap().generation, 2);
    restarted.pdp.handle = world.pdp.handle.clone();
    restarted.pdp.contingencies = vec![(
        world.pdp.contingencies[0].0.clone(),
        ReportedRows::new(RowLimits::DEFAULT),
    )];
    restarted.pdp.synchronize = Synchronize::Always;
    restarted.connect();
    assert_eq!(restarted.contingency::<Held>(1).generation, 2);
    assert!(restarted.contingency::<PibIncarnation>(1).active);
    assert!(!restarted.row::<PibIncarnation>().active);
    // The term binds over the restart.
    restarted.push(configuration(6, 9, 0, &[]));
    assert_eq!((restarted.report()[0].1, restarted.report()[0].2), (13, 1));
}

#[test]
fn what_an_agent_without_contingencies_saved_is_read() {
    let mut world = World::open(true);
    world.push(configuration(7, 1, 0, &[]));
    let saved = world.node.unsaved(world.now).unwrap();
    let mut value = serde_json::to_value(&saved).unwrap();
    value["format"] = 1.into();
    value.as_object_mut().unwrap().remove("contingencies");
    let saved: Saved = serde_json::from_value(value).unwrap();
    let restarted = World::of(inventory(), true, Some(&saved));
    assert_eq!(restarted.node.engine().plan().unwrap().generation, 1);
}

#[test]
fn a_context_outside_the_set_is_legal_and_not_supported_p_4_5_03() {
    let mut world = World::open(true);
    let version = PlanVersion {
        term: 7,
        generation: 1,
    };
    let mut row = incarnation(version, true);
    if let Row::PibIncarnation(row) = &mut row {
        row.in_ctxt_set = false;
    }
    world.push(install(&[row, plan_row(7, 1, 0, &[])]));
    assert_eq!(
        (world.report()[0].1, world.report()[0].2),
        (5, 6),
        "attrEnumSupLimited"
    );
    assert!(world.node.engine().plan().is_none());
}

#[test]
fn a_decision_over_what_was_told_is_too_large_p_4_4_04_p_3318_5_01() {
    let mut world = World::open(true);
    let told = world.row::<DeviceId>().max_msg.get() as usize;
    assert_eq!(told, crate::limits::MAX_DECISION_OCTETS);
    assert!(told < world.node.config.limits.max_message_octets);
    let set: Row = power::Set {
        instance: id(1),
        name: power::Name::new("all").unwrap(),
        priority: 1,
        ride_through_seconds: 0,
        weight: 1,
    }
    .into();
    let rule = |number: u32| -> Row {
        power::Grouping {
            instance: id(number),
            order: number,
            match_on: power::Match::Name,
            pattern: power::Text::new(&"x".repeat(100)).unwrap(),
            set: ReferenceId(id(1)),
        }
        .into()
    };
    // Of 140 octets each.
    for (generation, count, is_over) in [(1, 6_000, false), (2, 7_200, true)] {
        let mut rows = vec![set.clone()];
        rows.extend((1..=count).map(rule));
        let octets: usize = rows.iter().map(|row| row.to_vec().len()).sum();
        assert_eq!(octets > told, is_over, "{octets}");
        world.push(configuration(7, generation, 0, &rows));
        let (_, report_type, _) = world.pdp.last_report.clone().unwrap();
        assert_eq!(report_type == ReportType::FAILURE, is_over);
        let expected = is_over.then_some(GlobalErrorCode::MAX_MSG_SIZE_EXCEEDED.0);
        assert_eq!(world.global_error(), expected);
        assert_eq!(
            world.row::<Held>().generation,
            1,
            "rolled back, and the connection goes on"
        );
    }
}
