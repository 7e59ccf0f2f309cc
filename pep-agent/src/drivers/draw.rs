//! What activities draw, where the machine's power is measured: each has its share of it, by processor time.
//!
//! What the machine draws above idle is the work's. Of that an activity draws the part that its processor time is of all
//! processor time that was used meanwhile. It is an estimate: disks, memory and accelerators are shared by the processors'
//! use, too. Where nothing is measured the figures of the file count.

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::host::rapl::RaplMeter;

/// Shares are taken over at least this time: the kernel counts processor time in hundredths of a second.
const LEAST: Duration = Duration::from_millis(900);
/// Age from which a UPS's figure does not count.
const STALE: Duration = Duration::from_secs(15);

/// The load of a UPS, as whoever reads it saw it last, in milliwatts.
#[derive(Debug, Default)]
pub struct LoadGauge(Cell<Option<(u32, Instant)>>);

impl LoadGauge {
    /// Tells a load.
    pub fn tell(&self, milliwatts: Option<u32>, now: Instant) {
        self.0.set(milliwatts.map(|milliwatts| (milliwatts, now)));
    }

    fn read(&self, now: Instant) -> Option<u32> {
        let (milliwatts, at) = self.0.get()?;
        (now.saturating_duration_since(at) < STALE).then_some(milliwatts)
    }
}

/// What measures the machine.
#[derive(Debug)]
pub enum DrawSource {
    /// The kernel's counters of power, and what they do not see, in milliwatts.
    Rapl(RefCell<RaplMeter>, u32),
    /// The UPS that feeds the machine alone.
    Ups(Rc<LoadGauge>),
}

/// The power of a machine above idle, and the processor time that was used for it.
#[derive(Debug)]
pub struct DrawMeter {
    source: DrawSource,
    idle_milliwatts: u32,
    /// `/proc/stat`, or a made-up one.
    stat: PathBuf,
    ticks_a_second: u64,
}

impl DrawMeter {
    /// A meter of the machine that draws `idle_milliwatts` when nothing runs.
    pub fn new(source: DrawSource, idle_milliwatts: u32, stat: impl Into<PathBuf>) -> Self {
        Self {
            source,
            idle_milliwatts,
            stat: stat.into(),
            ticks_a_second: rustix::param::clock_ticks_per_second().max(1),
        }
    }

    /// Power above idle, in milliwatts.
    fn above_idle(&self, now: Instant) -> Option<u32> {
        let whole = match &self.source {
            DrawSource::Rapl(meter, rest) => meter.borrow_mut().read(now).ok()??.saturating_add(*rest),
            DrawSource::Ups(gauge) => gauge.read(now)?,
        };
        Some(whole.saturating_sub(self.idle_milliwatts))
    }

    /// Processor time that was used since the boot, in microseconds: all but idle and waiting for disks.
    fn busy_micros(&self) -> Option<u64> {
        let text = fs::read_to_string(&self.stat).ok()?;
        let all = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let ticks: Vec<u64> = all
            .split_ascii_whitespace()
            .map_while(|word| word.parse().ok())
            .collect();
        // user nice system idle iowait irq softirq steal; guest time is in user's.
        let busy: u64 = [0, 1, 2, 5, 6].iter().filter_map(|place| ticks.get(*place)).sum();
        Some(busy.saturating_mul(1_000_000) / self.ticks_a_second)
    }
}

/// The share of one activity.
#[derive(Debug)]
pub struct DrawShare {
    meter: Rc<DrawMeter>,
    /// When it was taken last, with the processor time of the activity and of all.
    last: Option<(Instant, u64, u64)>,
    milliwatts: Option<u32>,
}

impl DrawShare {
    /// A share of what this meter measures.
    pub fn new(meter: Rc<DrawMeter>) -> Self {
        Self {
            meter,
            last: None,
            milliwatts: None,
        }
    }

    /// Its draw, in milliwatts, when it has used so much processor time. `None`: not known yet, or not measured now.
    pub fn milliwatts(&mut self, own_micros: u64, now: Instant) -> Option<u32> {
        let above_idle = self.meter.above_idle(now);
        let busy = self.meter.busy_micros()?;
        match self.last {
            Some((at, ..)) if now.saturating_duration_since(at) < LEAST => return self.milliwatts,
            Some((_, own_before, busy_before)) => {
                // Of processes that have ended the time is gone: then nothing can be said of this interval.
                let own = own_micros.checked_sub(own_before);
                let used = busy.saturating_sub(busy_before);
                self.milliwatts = match (own, above_idle) {
                    (Some(own), Some(above_idle)) => Some(share(above_idle, own, used)),
                    _ => None,
                };
            }
            None => {}
        }
        self.last = Some((now, own_micros, busy));
        self.milliwatts
    }
}

/// The part of `milliwatts` that `own` is of `all`; never more than the whole.
fn share(milliwatts: u32, own: u64, all: u64) -> u32 {
    let all = all.max(own);
    if all == 0 {
        return 0;
    }
    let part = u128::from(milliwatts) * u128::from(own) / u128::from(all);
    u32::try_from(part).unwrap_or(milliwatts)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;

    use super::*;

    fn write(folder: &Path, name: &str, text: &str) {
        fs::write(folder.join(name), text).unwrap();
    }

    /// Busy for so many hundredths of a second.
    fn stat(folder: &Path, user: u64) {
        let ticks = rustix::param::clock_ticks_per_second() / 100;
        let user = user * ticks;
        write(
            folder,
            "stat",
            &format!("cpu  {user} 0 0 99999 88888 0 0 77777 66666 0\ncpu0 1 2 3\n"),
        );
    }

    #[test]
    fn each_has_the_share_of_its_processor_time_of_what_rapl_measures_above_idle() {
        let tree = tempfile::tempdir().unwrap();
        let here = tree.path();
        let zone = here.join("intel-rapl:0");
        fs::create_dir(&zone).unwrap();
        write(&zone, "name", "package-0\n");
        write(&zone, "max_energy_range_uj", "1000000000\n");
        write(&zone, "energy_uj", "0\n");
        stat(here, 100);
        // 60 W that the counters do not see; idle at 100 W.
        let source = DrawSource::Rapl(RefCell::new(RaplMeter::new(here)), 60_000);
        let meter = Rc::new(DrawMeter::new(source, 100_000, here.join("stat")));
        let (mut gold, mut bronze) = (DrawShare::new(Rc::clone(&meter)), DrawShare::new(meter));
        let start = Instant::now();
        assert_eq!(gold.milliwatts(5_000_000, start), None, "no interval yet");
        assert_eq!(bronze.milliwatts(0, start), None);
        // 80 W for a second: 40 W above idle; the processors were busy for two seconds in it.
        write(&zone, "energy_uj", "80000000\n");
        stat(here, 300);
        let later = start + Duration::from_secs(1);
        assert_eq!(gold.milliwatts(6_500_000, later), Some(30_000));
        assert_eq!(bronze.milliwatts(250_000, later), Some(5_000));
        let soon = later + Duration::from_millis(10);
        assert_eq!(
            gold.milliwatts(9_000_000, soon),
            Some(30_000),
            "too soon to say more"
        );
    }

    #[test]
    fn what_a_ups_says_counts_while_it_is_fresh() {
        let tree = tempfile::tempdir().unwrap();
        stat(tree.path(), 0);
        let gauge = Rc::new(LoadGauge::default());
        let source = DrawSource::Ups(Rc::clone(&gauge));
        let meter = Rc::new(DrawMeter::new(source, 50_000, tree.path().join("stat")));
        let mut share = DrawShare::new(meter);
        let start = Instant::now();
        gauge.tell(Some(150_000), start);
        share.milliwatts(0, start);
        stat(tree.path(), 400);
        assert_eq!(
            share.milliwatts(1_000_000, start + Duration::from_secs(4)),
            Some(25_000)
        );
        stat(tree.path(), 800);
        let stale = start + Duration::from_secs(40);
        assert_eq!(
            share.milliwatts(2_000_000, stale),
            None,
            "the UPS has not been heard of for long"
        );
        gauge.tell(Some(20_000), stale);
        stat(tree.path(), 900);
        let now = stale + Duration::from_secs(2);
        assert_eq!(
            share.milliwatts(2_500_000, now),
            Some(0),
            "below idle nothing is the work's"
        );
        // Processes that have ended take their time with them.
        assert_eq!(share.milliwatts(100, now + Duration::from_secs(2)), None);
    }

    #[test]
    fn no_share_is_more_than_the_whole() {
        assert_eq!(share(10_000, 500, 100), 10_000);
        assert_eq!(share(10_000, 0, 0), 0);
        assert_eq!(share(u32::MAX, u64::MAX, u64::MAX), u32::MAX);
    }
}
