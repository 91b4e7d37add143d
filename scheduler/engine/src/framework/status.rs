//! What a plugin answers (`kube-scheduler/framework.Status`; reference 1.2).

use std::{borrow::Cow, fmt};

/// Status codes, in upstream's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Code {
    /// Nothing stands in the way.
    #[default]
    Success,
    /// An internal fault: the pod goes to the error backoff, its condition says `SchedulerError`.
    Error,
    /// Not now; removing pods from the node may help.
    Unschedulable,
    /// Not here; removing pods does not help.
    UnschedulableAndUnresolvable,
    /// Permit only: hold the pod.
    Wait,
    /// The plugin has nothing to do with this pod.
    Skip,
    /// Rejected until something outside has been done; then the pod skips its backoff.
    Pending,
}

impl Code {
    /// The word used in metrics and in `explain`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::Error => "Error",
            Self::Unschedulable => "Unschedulable",
            Self::UnschedulableAndUnresolvable => "UnschedulableAndUnresolvable",
            Self::Wait => "Wait",
            Self::Skip => "Skip",
            Self::Pending => "Pending",
        }
    }

    /// Whether the pod was turned down, as opposed to accepted or failed (`Status.IsRejected`).
    #[must_use]
    pub const fn is_rejected(self) -> bool {
        matches!(self, Self::Unschedulable | Self::UnschedulableAndUnresolvable | Self::Pending)
    }
}

/// One reason, for people. Most are constants.
pub type Reason = Cow<'static, str>;

/// A code and its reasons. Success without reasons allocates nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    code: Code,
    reasons: Reasons,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Reasons {
    #[default]
    None,
    One(Reason),
    Many(Box<[Reason]>),
}

impl Status {
    /// Success.
    pub const SUCCESS: Self = Self { code: Code::Success, reasons: Reasons::None };
    /// Nothing to do.
    pub const SKIP: Self = Self { code: Code::Skip, reasons: Reasons::None };

    /// A code with one reason.
    #[must_use]
    pub fn new(code: Code, reason: impl Into<Reason>) -> Self {
        Self { code, reasons: Reasons::One(reason.into()) }
    }

    /// A code with several reasons (or none).
    #[must_use]
    pub fn with_reasons(code: Code, reasons: Vec<Reason>) -> Self {
        let reasons = match <[Reason; 1]>::try_from(reasons) {
            Ok([one]) => Reasons::One(one),
            Err(none) if none.is_empty() => Reasons::None,
            Err(many) => Reasons::Many(many.into()),
        };
        Self { code, reasons }
    }

    /// [`Code::Unschedulable`].
    #[must_use]
    pub fn unschedulable(reason: impl Into<Reason>) -> Self {
        Self::new(Code::Unschedulable, reason)
    }

    /// [`Code::UnschedulableAndUnresolvable`].
    #[must_use]
    pub fn unresolvable(reason: impl Into<Reason>) -> Self {
        Self::new(Code::UnschedulableAndUnresolvable, reason)
    }

    /// [`Code::Error`].
    #[must_use]
    pub fn error(message: impl Into<Reason>) -> Self {
        Self::new(Code::Error, message)
    }

    /// The code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// Whether the code is [`Code::Success`].
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self.code, Code::Success)
    }

    /// The reasons.
    #[must_use]
    pub fn reasons(&self) -> &[Reason] {
        match &self.reasons {
            Reasons::None => &[],
            Reasons::One(one) => std::slice::from_ref(one),
            Reasons::Many(many) => many,
        }
    }

    /// The reasons joined by `", "` (`Status.Message`).
    #[must_use]
    pub fn message(&self) -> String {
        self.reasons().join(", ")
    }

    /// Adds a reason at the end (`Status.AppendReason`).
    #[must_use]
    pub fn and(self, reason: impl Into<Reason>) -> Self {
        let mut all = self.reasons().to_vec();
        all.push(reason.into());
        Self::with_reasons(self.code, all)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_reasons() {
        let s = Status::unschedulable("a").and("b");
        assert_eq!((s.message().as_str(), s.reasons().len()), ("a, b", 2));
        assert_eq!(Status::with_reasons(Code::Success, vec![]), Status::SUCCESS);
        assert_eq!(Status::with_reasons(Code::Error, vec!["x".into()]), Status::error("x"));
    }
}
