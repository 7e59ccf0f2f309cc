//! A battery that the kernel shows, under an agent: what the PDP is told of it.

use cops_codec::client_type::power::{Domain, Mains, Reserve, ReserveState};

use crate::pdp::TestPdp;
use crate::program::Agent;

#[tokio::test]
async fn a_battery_of_the_kernel_and_its_adapter_are_reported_as_they_change() {
    let mut pdp = TestPdp::start().await;
    let mut agent = Agent::new("");
    let class = agent.path().join("power_supply");
    let write = |device: &str, values: &[(&str, &str)]| {
        std::fs::create_dir_all(class.join(device)).unwrap();
        for (file, value) in values {
            std::fs::write(class.join(device).join(file), format!("{value}\n")).unwrap();
        }
    };
    write(
        "BAT0",
        &[
            ("type", "Battery"),
            ("present", "1"),
            ("status", "Full"),
            ("energy_now", "50000000"),
            ("energy_full", "50000000"),
        ],
    );
    write("AC", &[("type", "Mains"), ("online", "1")]);
    let file = format!(
        r#"
[agent]
name = "n1"
state_dir = "state"
[pdp]
address = "{}"
[[server]]
name = "n1"
idle_watts = 10
peak_watts = 60
inlets = [{{ domain = "feedA", max_watts = 100 }}]
[[reserve]]
driver = "power_supply"
device = "BAT0"
class_dir = "{}"
chemistry = "lithium"
capacity_wh = 55
max_watts = 60
poll_seconds = 0.1
"#,
        pdp.address,
        class.display()
    );
    std::fs::write(&agent.config, file).unwrap();
    agent.start(&[]);
    let told = |peer: &crate::pdp::Peer| {
        let reserve = peer.table().only::<Reserve>()?;
        let domain = peer.table().only::<Domain>()?;
        Some((
            reserve.name.as_str().to_owned(),
            reserve.state,
            reserve.charge_joules,
            domain.mains,
        ))
    };
    pdp.until("n1", "a full battery on mains", |peer| {
        told(peer) == Some(("BAT0@n1".into(), ReserveState::Idle, 180_000, Mains::Present))
    })
    .await;
    // Every value is a file of its own, so that a poll may fall between two of them, as in the kernel.
    write("AC", &[("online", "0")]);
    write("BAT0", &[("energy_now", "25000000"), ("status", "Discharging")]);
    pdp.until("n1", "half a battery, without mains", |peer| {
        told(peer) == Some(("BAT0@n1".into(), ReserveState::Discharging, 90_000, Mains::Absent))
    })
    .await;
}
