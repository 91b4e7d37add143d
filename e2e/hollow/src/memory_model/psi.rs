//! Pressure stall information: running averages and totals as the kernel keeps them.

/// exp(-1/10), exp(-1/60) and exp(-1/300): decay per second of the three windows. Literals, so that every machine
/// computes the same bits.
const DECAY: [f64; 3] = [0.904_837_418_035_959_6, 0.983_471_453_821_617_3, 0.996_672_216_054_523_3];

/// Averages in percent over 10, 60 and 300 s, and the total stall time in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Line {
    pub(crate) avg: [f64; 3],
    pub(crate) total_us: f64,
}

impl Line {
    /// One second in which a share of `stalled` (0 to 1) was stalled.
    fn second(&mut self, stalled: f64) {
        for (avg, decay) in self.avg.iter_mut().zip(DECAY) {
            *avg = *avg * decay + 100.0 * stalled * (1.0 - decay);
        }
        self.total_us += stalled * 1e6;
    }
}

/// The `some` and `full` lines of one resource of one cgroup.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Psi {
    pub(crate) some: Line,
    pub(crate) full: Line,
}

impl Psi {
    /// One second in which at least one task was stalled for `some` of the time, and all of them for `full` of it.
    pub(crate) fn second(&mut self, some: f64, full: f64) {
        let some = some.clamp(0.0, 1.0);
        self.some.second(some);
        self.full.second(full.clamp(0.0, some));
    }

    /// Sets all three averages to fixed percentages and lets the totals run accordingly (for forced pressure).
    pub(crate) fn pin(&mut self, some: f64, full: f64) {
        let (some, full) = (some.clamp(0.0, 100.0), full.clamp(0.0, some.clamp(0.0, 100.0)));
        self.second(some / 100.0, full / 100.0);
        self.some.avg = [some; 3];
        self.full.avg = [full; 3];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_follow_the_windows() {
        let mut psi = Psi::default();
        for _ in 0..10 {
            psi.second(0.5, 0.9);
        }
        // After one time constant an average stands at 1 - 1/e of the level.
        assert!((psi.some.avg[0] - 50.0 * (1.0 - (-1f64).exp())).abs() < 1e-9);
        assert!(psi.some.avg[0] > psi.some.avg[1] && psi.some.avg[1] > psi.some.avg[2]);
        assert_eq!(psi.full, psi.some, "full never exceeds some");
        assert!((psi.some.total_us - 5e6).abs() < 1e-3);
        psi.pin(30.0, 12.0);
        assert_eq!((psi.some.avg, psi.full.avg), ([30.0; 3], [12.0; 3]));
    }
}
