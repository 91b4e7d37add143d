//! Measuring the extension points that run outside of a scheduling cycle, without a clock: in the queue and in the
//! binding cycle. (Those of the cycle are told to [`crate::framework::Probe`].)

use std::{cell::RefCell, fmt, time::Duration};

use crate::framework::Code;

/// Receives how long extension points take. Write-only: nothing can be read back from it.
pub trait PointProbe: fmt::Debug + Send {
    /// A point begins whose plugins answer at once.
    fn enter(&mut self);
    /// It ended.
    fn exit(&mut self, point: &'static str, code: Code, profile: &str);
    /// A point ended whose plugins waited for outcomes: how long it took.
    fn took(&mut self, point: &'static str, code: Code, profile: &str, time: Duration);
}

/// Where they are told; nowhere at first. PreEnqueue is asked while the profiles are only read.
#[derive(Debug, Default)]
pub struct Spans(RefCell<Option<Box<dyn PointProbe>>>);

impl Spans {
    /// Tells this one from now on.
    pub(crate) fn tell(&self, probe: Box<dyn PointProbe>) {
        *self.0.borrow_mut() = Some(probe);
    }

    /// Does the work of a point whose plugins answer at once. `code` says what it came to.
    pub(crate) fn measure<T>(
        &self,
        point: &'static str,
        profile: &str,
        work: impl FnOnce() -> T,
        code: impl FnOnce(&T) -> Code,
    ) -> T {
        if let Some(probe) = &mut *self.0.borrow_mut() {
            probe.enter();
        }
        let answer = work();
        if let Some(probe) = &mut *self.0.borrow_mut() {
            probe.exit(point, code(&answer), profile);
        }
        answer
    }

    /// A point whose plugins waited for outcomes came to its end.
    pub(crate) fn took(&self, point: &'static str, code: Code, profile: &str, time: Duration) {
        if let Some(probe) = &mut *self.0.borrow_mut() {
            probe.took(point, code, profile, time);
        }
    }
}
