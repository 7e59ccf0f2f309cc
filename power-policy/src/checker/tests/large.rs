//! Many racks like the small site: what a check costs must grow with the cluster, not with its square.

use super::site;
use super::*;
use crate::model::*;
use crate::plan::*;

/// `racks` copies of the small site and of its plan, each rack's names after its number. A stage does it for all racks,
/// and waits for the charge of all of them together.
pub(super) fn large(racks: usize) -> (Snapshot, Plan) {
    let (small, plan) = (site::snapshot(), site::plan());
    let named = |name: &Name, rack: usize| site::name(&format!("{rack:05}-{name}"));
    let mut s = Snapshot {
        sets: small.sets.clone(),
        domains: small.domains.clone(),
        outage: small.outage.clone(),
        ..Snapshot::empty()
    };
    let (servers, reserves) = (small.servers.len() as u32, small.reserves.len() as u32);
    for rack in 0..racks {
        let server = |id: ServerId| ServerId(id.0 + servers * rack as u32);
        let reserve = |id: ReserveId| ReserveId(id.0 + reserves * rack as u32);
        s.servers.extend(small.servers.iter().map(|x| Server {
            name: named(&x.name, rack),
            pep: x.pep.as_ref().map(|p| named(p, rack)),
            ..x.clone()
        }));
        s.reserves.extend(small.reserves.iter().map(|x| Reserve {
            name: named(&x.name, rack),
            feeds: x.feeds.iter().map(|f| server(*f)).collect(),
            ..x.clone()
        }));
        s.lines.extend(small.lines.iter().map(|x| Line {
            name: named(&x.name, rack),
            reserves: x.reserves.iter().map(|r| reserve(*r)).collect(),
            servers: x.servers.iter().map(|f| server(*f)).collect(),
            ..x.clone()
        }));
        s.activities.extend(small.activities.iter().map(|x| Activity {
            name: named(&x.name, rack),
            host: server(x.host),
            home: server(x.home),
            startable_on: x.startable_on.iter().map(|f| server(*f)).collect(),
            ..x.clone()
        }));
    }
    let mut stages: Vec<Stage> = Vec::new();
    for stage in &plan.stages {
        for rack in 0..racks {
            let mut copy = stage.clone();
            copy.steps
                .iter_mut()
                .for_each(|step| rename(&mut step.kind, |n| named(n, rack)));
            if let Trigger::ChargeBelow { reserves, .. } = &mut copy.trigger {
                reserves.iter_mut().for_each(|r| *r = named(r, rack));
            }
            let Some(last) = stages.last_mut().filter(|_| rack > 0 && !stage.local) else {
                stages.push(copy);
                continue;
            };
            last.steps.append(&mut copy.steps);
            if let (
                Trigger::ChargeBelow {
                    reserves,
                    millijoules,
                },
                Trigger::ChargeBelow {
                    reserves: more,
                    millijoules: and,
                },
            ) = (&mut last.trigger, copy.trigger)
            {
                reserves.extend(more);
                *millijoules += and;
            }
        }
    }
    let (mut central, mut local) = (0, FIRST_LOCAL_STAGE);
    for stage in &mut stages {
        let counter = if stage.local { &mut local } else { &mut central };
        stage.order = *counter;
        *counter += 1;
    }
    let plan = Plan {
        stages,
        classes: Vec::new(),
        reserves: Vec::new(),
        ..plan
    };
    (s, plan)
}

fn rename(kind: &mut StepKind, to: impl Fn(&Name) -> Name) {
    match kind {
        StepKind::Divert {
            line,
            reserve,
            server,
            ..
        } => [line, reserve, server].into_iter().for_each(|n| *n = to(n)),
        StepKind::Activity {
            activity,
            server,
            peer,
            ..
        } => {
            [activity, server].into_iter().for_each(|n| *n = to(n));
            if let Some(peer) = peer {
                *peer = to(peer);
            }
        }
        StepKind::Host { server, .. } => *server = to(server),
        StepKind::Intake { .. } => {}
    }
}

#[test]
fn a_thousand_racks_are_judged_like_one() {
    let (s, p) = large(1_000);
    nothing_wrong(&s, &p, &PowerPolicy::default());
    let mut broken = p;
    // One of ten thousand steps.
    let last = broken.stages.iter_mut().rfind(|s| !s.local).unwrap();
    last.steps.retain(|step| {
        !matches!(&step.kind, StepKind::Activity { activity, .. } if activity.as_str() == "00777-db")
            && !matches!(&step.kind, StepKind::Host { server, .. } if server.as_str() == "00777-g")
    });
    let v = found(Invariant::DirtyStop, &s, &broken, &PowerPolicy::default());
    assert_eq!(v.subject, "00777-g");
}
