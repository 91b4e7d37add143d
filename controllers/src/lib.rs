//! The controller manager process, one folder per controller.
