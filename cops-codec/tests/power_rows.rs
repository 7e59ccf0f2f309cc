//! Rows of the power client-type, octet by octet: the inner contents of the vectors that the exchanges fix.

#![allow(clippy::unwrap_used)]

mod hex;

use cops_codec::client_type::framework::{AdminString, Longevity, PibIncarnation};
use cops_codec::client_type::power::{Cause, Domain, Mains, Name, Plan, PlanVersion, Scope, Witness};
use cops_codec::client_type::{Digest, Row};
use cops_codec::provisioning::InstanceId;
use cops_codec::provisioning::binding::Bindings;
use hex::hex;

fn digest() -> Digest {
    Digest(std::array::from_fn(|index| index as u8))
}

fn incarnation(generation: u64, active: bool) -> Row {
    PibIncarnation {
        name: AdminString::new("pdp1").unwrap(),
        id: PlanVersion { term: 7, generation }.to_octets(),
        active,
        full_state: false,
        ..PibIncarnation::opening(Longevity::ExpireOnTimeout, 86_400)
    }
    .into()
}

fn plan(generation: u64, scope: Scope, released_stage: u32) -> Row {
    Plan {
        instance: InstanceId::FIRST,
        term: 7,
        generation,
        cause: Cause::DomainMains,
        scope,
        released_stage,
        digest: digest(),
    }
    .into()
}

const INCARNATION_1: &str =
    "00 10 01 01 06 0a 2b 06 01 02 02 02 01 02 01 01 00 30 03 01 42 01 01 04 04 70 64 70
    31 04 10 00 00 00 00 00 00 00 07 00 00 00 00 00 00 00 01 02 01 03 42 03 01 51 80 02
    01 01 02 01 01 02 01 02";

/// Frozen: a change of these octets is a change of wire format (CHANGELOG).
#[test]
fn contents_of_the_vectors_are_exact() {
    let domain = Domain {
        instance: InstanceId::FIRST,
        name: Name::new("feedA").unwrap(),
        mains: Mains::Absent,
        witness: Witness::Facility,
        age_millis: 20,
    };
    let table: [(&str, Vec<Row>, String); 3] = [
        (
            "a REQ of a changed domain",
            vec![incarnation(1, true), domain.into()],
            format!(
                "{INCARNATION_1} 00 13 01 01 06 0d 2b 06 01 04 01 81 fd 59 01 01 03 01 01 00
                 00 17 03 01 42 01 01 04 05 66 65 65 64 41 02 01 02 02 01 01 42 01 14 00"
            ),
        ),
        (
            "a DEC that releases stage 1",
            vec![plan(1, Scope::Standing, 1)],
            "00 13 01 01 06 0d 2b 06 01 04 01 81 fd 59 01 04 01 01 01 00
             00 38 03 01 42 01 01 4b 01 07 4b 01 01 02 01 03 02 01 01 42 01 01 04 20 00 01 02 03
             04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f"
                .to_owned(),
        ),
        (
            "a DEC that activates a contingency",
            vec![incarnation(2, true), plan(2, Scope::Cluster, 0)],
            "00 10 01 01 06 0a 2b 06 01 02 02 02 01 02 01 01 00 30 03 01
             42 01 01 04 04 70 64 70 31 04 10 00 00 00 00 00 00 00 07 00 00 00 00 00 00 00 02 02
             01 03 42 03 01 51 80 02 01 01 02 01 01 02 01 02 00 13 01 01 06 0d 2b 06 01 04 01 81
             fd 59 01 04 01 01 01 00 00 38 03 01 42 01 01 4b 01 07 4b 01 02 02 01 03 02 01 02 42
             01 00 04 20 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15 16 17
             18 19 1a 1b 1c 1d 1e 1f"
                .to_owned(),
        ),
    ];
    for (name, rows, octets) in table {
        let octets = hex(&octets);
        assert_eq!(
            rows.iter().flat_map(Row::to_vec).collect::<Vec<u8>>(),
            octets,
            "{name}"
        );
        let read: Vec<Row> = Bindings::new(&octets, 0)
            .map(|binding| Row::decode(&binding.unwrap()).unwrap().row)
            .collect();
        assert_eq!(read, rows, "{name}");
    }
}
