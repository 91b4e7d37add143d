//! Whether objects of one of our own kinds can be made at all.
//!
//! Without its CRD, or the right to it, no object of a kind can be made, whatever it is about. That is said once; one
//! object is tried now and then for all of them; and it is said once that it works again.

use std::time::Duration;

use headroom_core::{
    Mono,
    intent::{WriteError, Written},
    object::Kind,
};

/// Wait after a write that was refused for good (no CRD, no permission, invalid): nothing here will change it.
pub(crate) const REFUSED_RETRY: Duration = Duration::from_secs(60);

/// What a 403 says while the CRD of a kind goes (`forbidCreateAdmission` in apiextensions-apiserver).
const CRD_TERMINATING: &str = "create not allowed while";
/// What a 403 says for want of a right. A webhook that does not like an object says Forbidden too, in other words.
const NO_RIGHT: &str = "cannot create resource";
/// How a 404 begins that is about the namespace of the object, not about its kind.
const NO_NAMESPACE: &str = "namespaces \"";

/// Whether objects of a kind can be made.
#[derive(Debug)]
pub(crate) struct Creatable {
    kind: Kind,
    /// None can: nobody tries before this.
    closed_until: Option<Mono>,
}

/// What an answer has changed.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Nothing,
    /// No object can be made any more.
    Closed,
    /// Objects can be made again.
    Open,
}

impl Creatable {
    /// Until an answer says otherwise they can.
    pub(crate) const fn new(kind: Kind) -> Self {
        Self { kind, closed_until: None }
    }

    /// Asks to make one now. While none can be made, one caller a minute gets leave, and tries for all.
    ///
    /// # Errors
    /// When to ask again.
    pub(crate) fn admit(&mut self, now: Mono) -> Result<(), Mono> {
        match &mut self.closed_until {
            Some(until) if now < *until => Err(*until),
            Some(until) => {
                *until = now + REFUSED_RETRY;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// What became of an object that was to be made. Returns whether all that wait can be made now.
    pub(crate) fn tried(&mut self, result: &Result<Written, WriteError>, now: Mono) -> bool {
        let Kind { kind, plural, .. } = self.kind;
        match (self.step(result, now), result) {
            (News::Open, _) => {
                tracing::info!("{kind}s can be written now");
                true
            }
            (News::Closed, Err(error)) => {
                tracing::warn!(
                    "{kind}s cannot be written, one is tried every minute; they need their CRD (in the chart: \
                     crds.install) and the right to create {plural}: {error}"
                );
                false
            }
            _ => false,
        }
    }

    fn step(&mut self, result: &Result<Written, WriteError>, now: Mono) -> News {
        match result {
            Ok(_) | Err(WriteError::AlreadyExists(_)) => {
                if self.closed_until.take().is_some() {
                    News::Open
                } else {
                    News::Nothing
                }
            }
            Err(error) if concerns_all(error) => match self.closed_until.replace(now + REFUSED_RETRY) {
                None => News::Closed,
                Some(_) => News::Nothing,
            },
            Err(_) => {
                // It says nothing about the kind: whoever comes next may try.
                if let Some(until) = &mut self.closed_until {
                    *until = now;
                }
                News::Nothing
            }
        }
    }
}

/// Whether an answer to a creation means that no object of the kind can be made: the kind is not there or is going, or
/// we have no right to it.
pub(crate) fn concerns_all(error: &WriteError) -> bool {
    match error {
        WriteError::NotFound(message) => !message.starts_with(NO_NAMESPACE),
        WriteError::Forbidden(message) => message.contains(NO_RIGHT) || message.contains(CRD_TERMINATING),
        // What API servers answer that do not let a kind be made at all; old ones do so while its CRD goes.
        WriteError::Other { code: 405, .. } => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMINATING: &str = "nodeheadrooms.headroom.dev \"n1\" is forbidden: create not allowed while custom resource \
                               definition is terminating";

    const fn at(seconds: u64) -> Mono {
        Mono(seconds * 1_000_000)
    }

    fn missing() -> Result<Written, WriteError> {
        Err(WriteError::NotFound("the server could not find the requested resource".into()))
    }

    #[test]
    fn answers_about_the_kind_and_answers_about_one_object() {
        let other = |code| WriteError::Other { code, message: "create is not supported".into() };
        let no_right = "nodeheadrooms.headroom.dev is forbidden: User \"u\" cannot create resource \"nodeheadrooms\" in \
                        API group \"headroom.dev\" at the cluster scope";
        for error in [
            WriteError::NotFound("404 page not found".into()),
            WriteError::Forbidden(TERMINATING.into()),
            WriteError::Forbidden(no_right.into()),
            other(405),
        ] {
            assert!(concerns_all(&error), "{error}");
        }
        for error in [
            WriteError::NotFound("namespaces \"gone\" not found".into()),
            WriteError::Forbidden("admission webhook \"w\" denied the request: no".into()),
            WriteError::NamespaceTerminating("being terminated".into()),
            WriteError::Conflict("the object has been modified".into()),
            WriteError::Invalid("spec".into()),
            other(500),
        ] {
            assert!(!concerns_all(&error), "{error}");
        }
    }

    #[test]
    fn it_is_said_once_and_one_tries_for_all() {
        let mut kind = Creatable::new(Kind::NODE_HEADROOM);
        assert_eq!((kind.admit(at(0)), kind.admit(at(0))), (Ok(()), Ok(())));
        // The CRD goes, and then it is gone; another one was on its way.
        assert_eq!(kind.step(&Err(WriteError::Forbidden(TERMINATING.into())), at(1)), News::Closed);
        assert_eq!(kind.step(&missing(), at(2)), News::Nothing);
        assert_eq!(kind.admit(at(61)), Err(at(62)));
        assert_eq!(kind.admit(at(62)), Ok(()));
        assert_eq!(kind.admit(at(62)), Err(at(122)), "one is on its way");
        assert_eq!(kind.step(&missing(), at(63)), News::Nothing);
        assert_eq!(kind.admit(at(122)), Err(at(123)));
        assert_eq!(kind.admit(at(123)), Ok(()));
        // An answer about one object only: the next may try at once.
        assert_eq!(kind.step(&Err(WriteError::Invalid("no".into())), at(124)), News::Nothing);
        assert_eq!(kind.admit(at(124)), Ok(()));
        assert_eq!(kind.step(&Ok(Written::default()), at(125)), News::Open);
        assert_eq!(kind.step(&Ok(Written::default()), at(126)), News::Nothing);
        assert_eq!((kind.admit(at(126)), kind.admit(at(126))), (Ok(()), Ok(())));
        assert_eq!(kind.step(&missing(), at(127)), News::Closed, "this is another time");
    }

    #[test]
    fn an_object_that_is_there_shows_that_they_can_be_made() {
        let mut kind = Creatable::new(Kind::MEMORY_PROFILE);
        assert!(!kind.tried(&missing(), at(1)));
        assert!(kind.tried(&Err(WriteError::AlreadyExists("x".into())), at(2)));
        assert!(!kind.tried(&Ok(Written::default()), at(3)));
    }
}
