//! Whatever arrives in whatever order: no panic, only legal transitions, nothing irreversible before the debounce,
//! nothing restarted before mains was good, and a journalled machine goes on as if nothing had happened.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Act {
    See(usize, Mains),
    Facility(Mains),
    Forget(usize),
    Command(u8, Command),
    Restored,
    Recovered,
    Pass(u64),
    Journal,
    Reboot(i64),
}

fn mains() -> impl Strategy<Value = Mains> {
    prop_oneof![
        3 => Just(Mains::Present),
        3 => Just(Mains::Absent),
        1 => Just(Mains::Unstable),
        1 => Just(Mains::Unknown),
    ]
}

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        Just(Scope::Cluster),
        Just(Scope::Domains(vec![name("dom-a")])),
        Just(Scope::Domains(vec![name("nowhere")])),
        Just(Scope::Servers(vec![name("b1"), name("lone")])),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        scope().prop_map(Command::Interrupt),
        scope().prop_map(Command::Drill),
        Just(Command::Restore),
        Just(Command::Cancel),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (0usize..8, mains()).prop_map(|(pep, m)| Act::See(pep, m)),
        1 => mains().prop_map(Act::Facility),
        1 => (0usize..8).prop_map(Act::Forget),
        2 => (0u8..6, command()).prop_map(|(id, c)| Act::Command(id, c)),
        1 => Just(Act::Restored),
        1 => Just(Act::Recovered),
        6 => prop_oneof![0u64..4_000, 0u64..100_000, Just(200_000)].prop_map(Act::Pass),
        1 => Just(Act::Journal),
        1 => (-1_000_000i64..1_000_000).prop_map(Act::Reboot),
    ]
}

fn is_legal(from: Phase, to: Phase) -> bool {
    use Phase::*;
    matches!(
        (from, to),
        (Normal, Debounce)
            | (Debounce, Normal | Interrupted | MainsGood)
            | (Interrupted, MainsGood | Normal)
            | (MainsGood, Interrupted | Restoring | Debounce)
            | (Restoring, Normal | Debounce)
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn holds_whatever_happens(acts in prop::collection::vec(act(), 1..60)) {
        let peps: Vec<Name> = sites().into_keys().collect();
        let mut w = World::quiet();
        for act in acts {
            let before = w.log.len();
            match act {
                Act::See(pep, m) => w.see(&[peps[pep].as_str()], m),
                Act::Facility(m) => w.signal(facility("rack-b", "dom-b", m)),
                Act::Forget(pep) => w.signal(Signal::Forget { pep: peps[pep].clone() }),
                Act::Command(id, c) => {
                    w.command(&id.to_string(), c);
                }
                Act::Restored => w.signal(Signal::Restored),
                Act::Recovered => w.signal(Signal::ReservesRecovered),
                Act::Pass(millis) => w.pass(millis),
                Act::Journal => {
                    let text = serde_json::to_string(&w.machine).unwrap();
                    let read: Interruption = serde_json::from_str(&text).unwrap();
                    prop_assert_eq!(&read, &w.machine);
                    w.machine = read;
                }
                Act::Reboot(delta) => {
                    let delta = delta.max(-i64::try_from(w.now).unwrap());
                    w.machine.rebase(delta);
                    w.now = w.now.checked_add_signed(delta).unwrap();
                }
            }
            let mut phase = None;
            for event in &w.log[before..] {
                if let Event::Phase { from, to, .. } = event {
                    prop_assert!(is_legal(*from, *to), "{from:?} -> {to:?}");
                    prop_assert!(phase.is_none_or(|p| p == *from));
                    phase = Some(*to);
                }
            }
            prop_assert!(phase.is_none_or(|p| p == w.machine.phase()));
            let deadline = w.machine.next_deadline();
            prop_assert!(deadline.is_none_or(|d| d > w.now), "{deadline:?} at {}", w.now);
            prop_assert_eq!(w.machine.outage(w.now).is_some(), w.machine.phase() != Phase::Normal);
            let absent = peps.iter().any(|p| w.machine.server_mains(p) == Mains::Absent);
            let waited_for = peps.iter().any(|p| {
                w.machine.server_mains(p) == Mains::Absent && !w.machine.servers.get(p).is_some_and(|s| s.silent)
            });
            if w.machine.phase() == Phase::Restoring || w.machine.phase() == Phase::Normal {
                prop_assert!(!waited_for, "{:?} with something absent", w.machine.phase());
            }
            if w.machine.may_shed() {
                prop_assert!(absent);
                let elapsed = w.outage().elapsed_millis;
                prop_assert!(elapsed >= DEBOUNCE, "shed after {elapsed} ms");
            }
        }
    }

    #[test]
    fn a_journalled_machine_on_another_clock_goes_on_the_same(
        first in prop::collection::vec(act(), 1..20),
        second in prop::collection::vec(act(), 1..20),
        delta in 0i64..10_000_000,
    ) {
        let peps: Vec<Name> = sites().into_keys().collect();
        let run = |w: &mut World, acts: &[Act]| {
            for act in acts {
                match act {
                    Act::See(pep, m) => w.see(&[peps[*pep].as_str()], *m),
                    Act::Facility(m) => w.signal(facility("rack-b", "dom-b", *m)),
                    Act::Forget(pep) => w.signal(Signal::Forget { pep: peps[*pep].clone() }),
                    Act::Command(id, c) => {
                        w.command(&id.to_string(), c.clone());
                    }
                    Act::Restored => w.signal(Signal::Restored),
                    Act::Recovered => w.signal(Signal::ReservesRecovered),
                    Act::Pass(millis) => w.pass(*millis),
                    Act::Journal | Act::Reboot(_) => {}
                }
            }
        };
        let mut kept = World::quiet();
        run(&mut kept, &first);
        let text = serde_json::to_string(&kept.machine).unwrap();
        let mut resumed = World {
            machine: serde_json::from_str(&text).unwrap(),
            now: kept.now + delta.unsigned_abs(),
            log: Vec::new(),
        };
        resumed.machine.rebase(delta);
        kept.log.clear();
        run(&mut kept, &second);
        run(&mut resumed, &second);
        prop_assert_eq!(&kept.log, &resumed.log);
        prop_assert_eq!(kept.machine.outage(kept.now), resumed.machine.outage(resumed.now));
    }
}
