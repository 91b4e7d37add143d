//! The API server's audit log: who asked for what, when, and what was answered.

use std::io::{BufRead, BufReader};

use serde::Deserialize;

use crate::error::{HarnessError, Result};

use super::{ControlPlane, servers};

/// A request as the audit log has it (level Metadata, stage ResponseStarted or later).
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEvent {
    /// `ResponseComplete`, `ResponseStarted` (watches) or `Panic`.
    pub stage: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, …
    pub verb: String,
    /// Path and query.
    #[serde(rename = "requestURI")]
    pub request_uri: String,
    /// Who asked.
    pub user: AuditUser,
    /// What was asked for, where it is an object.
    pub object_ref: Option<AuditObject>,
    /// What was answered.
    pub response_status: Option<AuditStatus>,
    /// The client's name of itself.
    #[serde(default)]
    pub user_agent: String,
    /// When the request arrived: RFC 3339, UTC, with six decimals, so that the texts sort by time.
    pub request_received_timestamp: String,
    /// When this stage was reached, in the same form.
    pub stage_timestamp: String,
}

/// Who asked.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct AuditUser {
    /// User name.
    #[serde(default)]
    pub username: String,
}

/// What was asked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuditObject {
    /// Resource in the plural.
    pub resource: String,
    /// Namespace; empty when there is none.
    pub namespace: String,
    /// Name; empty for lists and creates.
    pub name: String,
    /// Group; empty for the core group.
    pub api_group: String,
    /// For example `binding` or `status`.
    pub subresource: String,
}

/// What was answered.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct AuditStatus {
    /// HTTP status.
    #[serde(default)]
    pub code: u16,
}

impl AuditEvent {
    /// Whether the request changes something.
    #[must_use]
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }

    /// The HTTP status; 0 when there is none.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.response_status.as_ref().map_or(0, |status| status.code)
    }
}

impl ControlPlane {
    /// All requests so far, in the order of the log. A last line that is not complete yet is left out.
    ///
    /// # Errors
    /// [`HarnessError::NoAudit`] without `.audit(true)`; [`HarnessError::Audit`] for a line that cannot be read.
    pub fn audit_events(&self) -> Result<Vec<AuditEvent>> {
        if !self.options.audit {
            return Err(HarnessError::NoAudit);
        }
        let path = self.dir().join(servers::AUDIT_LOG);
        let file = std::fs::File::open(&path).map_err(HarnessError::io("open", &path))?;
        let mut reader = BufReader::new(file);
        let mut events = Vec::new();
        let mut text = String::new();
        for line in 1_usize.. {
            text.clear();
            reader.read_line(&mut text).map_err(HarnessError::io("read", &path))?;
            if !text.ends_with('\n') {
                break;
            }
            let event = serde_json::from_str(&text).map_err(|source| HarnessError::Audit {
                path: path.clone(),
                line,
                source,
            })?;
            events.push(event);
        }
        Ok(events)
    }
}
