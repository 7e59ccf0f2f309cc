//! What the PEPs of a load say: rows of the power client-type, of the sizes that pass most often.

use cops_codec::client_type::framework::{AdminString, DeviceId, Longevity, PibIncarnation, PrcSupport};
use cops_codec::client_type::power::{Action, Divert, Verb};
use cops_codec::client_type::power::{
    Cause, Chemistry, Domain, EnergySource, Inlet, Mains, Name, Permille, PeukertPermille, Plan, Powered,
    Reserve, ReserveReading, ReserveState, Role, Scope, Server, ServerReading, Stage, Trigger, Witness,
};
use cops_codec::client_type::store::{InstalledRows, RowLimits, build};
use cops_codec::client_type::{Bounded, Digest, Row};
use cops_codec::provisioning::{InstanceId, ReferenceId};
use cops_codec::wire::ClientSi;

/// Name of the server of a PEP, which is the PEPID too.
#[must_use]
pub fn server_name(pep: usize) -> String {
    format!("load-{pep:05}")
}

/// `None` for texts that are no names; those made here all are.
fn name(text: &str) -> Option<Name> {
    Name::new(text).ok()
}

fn one() -> ReferenceId {
    InstanceId::FIRST.into()
}

fn named(contents: Vec<bytes::Bytes>) -> Vec<ClientSi> {
    contents.into_iter().map(ClientSi::Named).collect()
}

fn domain(mains: Mains) -> Option<Row> {
    let domain = Domain {
        instance: InstanceId::FIRST,
        name: name("feedA")?,
        mains,
        witness: Witness::Inlet,
        age_millis: 20,
    };
    Some(domain.into())
}

fn server(own: &Name) -> Row {
    Server {
        instance: InstanceId::FIRST,
        name: own.clone(),
        idle_milliwatts: 90_000,
        peak_milliwatts: 350_000,
        cpu_millicores: 32_000,
        memory_mebibytes: 131_072,
        powered: Powered::On,
        boot_millis: 90_000,
        boot_joules: 9_000,
        halt_millis: 20_000,
        halt_joules: 2_000,
        starter: None,
        fan_in: 2,
        simulated: true,
        role: Role::Custodian,
    }
    .into()
}

fn reserve(own: &Name, charge_joules: u64) -> Row {
    Reserve {
        instance: InstanceId::FIRST,
        name: own.clone(),
        role: Role::Custodian,
        chemistry: Chemistry::Lithium,
        capacity_joules: 1_800_000,
        charge_joules,
        cutoff_joules: 90_000,
        max_discharge_milliwatts: 1_500_000,
        efficiency_permille: Permille::clamped(920),
        peukert_permille: PeukertPermille::clamped(1_000),
        state: ReserveState::Idle,
        age_millis: 150,
        fan_out: 1,
        source: EnergySource::Measured,
        simulated: true,
    }
    .into()
}

/// A REQ of about 330 octets: a server, its mains, its reserve, whose charge changes from one to the next.
#[must_use]
pub fn request(pep: usize, nth: u32) -> Vec<ClientSi> {
    let Some(own) = name(&server_name(pep)) else {
        return Vec::new();
    };
    let mut rows = vec![server(&own)];
    rows.extend(domain(Mains::Present));
    rows.push(reserve(&own, 1_700_000 - u64::from(nth % 100_000)));
    named(build::contents(rows))
}

/// The full state of a PEP that has one server, for the power client-type.
#[must_use]
pub fn full_state(pep: usize) -> Vec<ClientSi> {
    let opening = PibIncarnation::opening(Longevity::ExpireOnTimeout, 86_400);
    let mut rows = vec![Row::from(
        InstalledRows::new(RowLimits::DEFAULT, opening.clone()).held(true),
    )];
    rows.extend(PrcSupport::all().into_iter().map(Row::from));
    if let Some(descr) = AdminString::new("load") {
        rows.push(
            DeviceId {
                instance: InstanceId::FIRST,
                descr,
                max_msg: Bounded::clamped(65_536),
                max_contexts: Bounded::clamped(1),
            }
            .into(),
        );
    }
    if let (Some(own), Some(feed)) = (name(&server_name(pep)), name("feedA")) {
        rows.push(server(&own));
        rows.extend(domain(Mains::Present));
        rows.push(
            Inlet {
                instance: InstanceId::FIRST,
                server: one(),
                domain: feed,
                max_milliwatts: 500_000,
            }
            .into(),
        );
    }
    named(build::request(&opening, [], &rows))
}

/// A change of a PEP of the power client-type, of a row that moves no plan.
#[must_use]
pub fn change(pep: usize, _nth: u32) -> Vec<ClientSi> {
    let mut incarnation = PibIncarnation::opening(Longevity::ExpireOnTimeout, 86_400);
    incarnation.full_state = false;
    let rows: Vec<Row> = name(&server_name(pep)).iter().map(server).collect();
    named(build::request(&incarnation, [], &rows))
}

/// An accounting report: the readings of a server and of its reserve.
#[must_use]
pub fn readings(pep: usize, with_reserve: bool) -> Vec<ClientSi> {
    let Some(own) = name(&server_name(pep)) else {
        return Vec::new();
    };
    let mut rows: Vec<Row> = vec![
        ServerReading {
            instance: InstanceId::FIRST,
            server: own.clone(),
            milliwatts: 210_000,
            age_millis: 120,
        }
        .into(),
    ];
    if with_reserve {
        rows.push(
            ReserveReading {
                instance: InstanceId::FIRST,
                reserve: own,
                charge_joules: 1_650_000,
                milliwatts: 420_000,
                seconds_left: 3_900,
                age_millis: 150,
            }
            .into(),
        );
    }
    rows.sort_by_key(Row::id);
    named(build::contents(rows))
}

/// A DEC of about 340 octets: the part of a plan that falls to one PEP.
#[must_use]
pub fn decision(server: &Name, generation: u64) -> Vec<bytes::Bytes> {
    let mut rows: Vec<Row> = vec![
        Plan {
            instance: InstanceId::FIRST,
            term: 7,
            generation,
            cause: Cause::Command,
            scope: Scope::Cluster,
            released_stage: 0,
            digest: Digest([0x5a; 32]),
        }
        .into(),
        Stage {
            instance: InstanceId::FIRST,
            order: 1,
            trigger: Trigger::Released,
            threshold: 0,
            local: false,
        }
        .into(),
        Divert {
            instance: InstanceId::FIRST,
            stage: one(),
            line: server.clone(),
            reserve: Some(server.clone()),
            server: Some(server.clone()),
            milliwatts: 300_000,
        }
        .into(),
    ];
    let mut instance = InstanceId::FIRST;
    for verb in [Verb::Stop, Verb::Cap] {
        rows.push(
            Action {
                instance,
                stage: one(),
                activity: server.clone(),
                verb,
                peer: None,
                milliwatts: 120_000,
                server: server.clone(),
            }
            .into(),
        );
        instance = instance.next().unwrap_or(instance);
    }
    rows.sort_by_key(Row::id);
    build::contents(rows)
}

/// The first server among rows, by which a decision is made for whoever sent them.
#[must_use]
pub fn server_of(rows: &[Row]) -> Option<&Name> {
    rows.iter().find_map(|row| match row {
        Row::Server(server) => Some(&server.name),
        _ => None,
    })
}
